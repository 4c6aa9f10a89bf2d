#include "sandbox/plan.h"

#include <algorithm>

#include "base/id.h"

namespace wrenn::sandbox {
namespace {

constexpr size_t kMaxMapEntries = 256;
constexpr size_t kMaxMapBytes = 64 << 10;
constexpr int64_t kMiB = 1 << 20;

// 0 as `high`: no limit.
Status CheckRange(std::string_view name, int64_t value, int64_t low, int64_t high) {
  if (high > 0 && high < low) high = low;
  if (value >= low && (high <= 0 || value <= high)) return {};
  if (high <= 0) return Fail(Code::kInvalidArgument, "{} must be at least {}", name, low);
  return Fail(Code::kInvalidArgument, "{} must be between {} and {} on this host", name, low, high);
}

// POSIX.1-2017, 8.1: letters, digits and '_', not beginning with a digit.
bool IsVariableName(std::string_view name) {
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return !name.empty() && is_letter(name.front()) &&
         std::ranges::all_of(name, [&](char c) { return is_letter(c) || is_digit(c); });
}

Status CheckSize(std::string_view what, const std::map<std::string, std::string>& map) {
  size_t bytes = 0;
  for (const auto& [key, value] : map) bytes += key.size() + value.size();
  if (map.size() > kMaxMapEntries || bytes > kMaxMapBytes) {
    return Fail(Code::kInvalidArgument, "{} may have {} entries and {} bytes together", what,
                kMaxMapEntries, kMaxMapBytes);
  }
  return {};
}

Status CheckEnvironment(const std::map<std::string, std::string>& envs) {
  RETURN_IF_ERROR(CheckSize("envs", envs));
  for (const auto& [name, value] : envs) {
    if (!IsVariableName(name)) {
      return Fail(Code::kInvalidArgument, "envs: '{}' is no name for a variable", name);
    }
    if (value.find('\0') != std::string::npos) {
      return Fail(Code::kInvalidArgument, "envs: the value of '{}' holds a zero byte", name);
    }
  }
  return {};
}

}  // namespace

Status CheckTimeout(int64_t timeout_sec) {
  if (timeout_sec >= 0 && timeout_sec <= kMaxTimeoutSec) return {};
  return Fail(Code::kInvalidArgument, "timeout_sec must be between 0 (no limit) and {}",
              kMaxTimeoutSec);
}

Error NoNetworkSlots() {
  return {Code::kFailedPrecondition,
          "allow_out, deny_out, rates, max_connections and changes of a running sandbox need a "
          "network slot, which this server's sandboxes do not have: run it as root, without "
          "--slots off (its log says what else is missing); without one, allow_internet_access is "
          "all that can be said, at the start",
          {}};
}

Status FitToEngine(const vmm::EngineInfo& engine, bool has_slots, CreateRequest& request) {
  if (!engine.snapshots) {
    if (request.on_timeout == "pause") {
      return Fail(Code::kUnimplemented, "{}", engine.snapshots_explanation);
    }
    if (!request.on_timeout) request.on_timeout = "stop";
  }
  if (has_slots) return {};
  const bool internet = request.network.allow_internet_access.value_or(false);
  // Of a snapshot's machine, a network that reaches nothing.
  const bool closed = request.has_network.value_or(false) && !internet;
  if (request.network.NeedsSlot() || closed) return Fail(NoNetworkSlots());
  if (!internet || engine.user_network) return {};
  return Fail(Code::kFailedPrecondition, "this host can give a sandbox no network: {}",
              engine.user_network_explanation);
}

Result<store::SandboxRecord> MakePlan(const std::string& tenant, const CreateRequest& request,
                                      const template_::Resolved& from, const Limits& limits) {
  store::SandboxRecord record;
  record.vcpus = request.vcpus.value_or(from.record.vcpus);
  record.memory_mb = request.memory_mb.value_or(from.record.memory_mb);
  const auto image_mb = static_cast<int64_t>((from.image_bytes + kMiB - 1) / kMiB);
  const int64_t disk_mb = request.disk_mb.value_or(static_cast<int>(image_mb));
  RETURN_IF_ERROR(CheckRange("vcpus", record.vcpus, 1, limits.max_sandbox_vcpus));
  RETURN_IF_ERROR(CheckRange("memory_mb", record.memory_mb, kMinMemoryMb, limits.max_memory_mb));
  RETURN_IF_ERROR(CheckRange("disk_mb", disk_mb, image_mb, limits.max_sandbox_disk_mb));
  RETURN_IF_ERROR(CheckTimeout(request.timeout_sec));
  const std::string on_timeout = request.on_timeout.value_or("pause");
  if (on_timeout != "pause" && on_timeout != "stop") {
    return Fail(Code::kInvalidArgument, "on_timeout must be 'pause' or 'stop'");
  }
  RETURN_IF_ERROR(CheckEnvironment(request.envs));
  RETURN_IF_ERROR(CheckSize("metadata", request.metadata));

  record.id = NewId("sb");
  record.tenant = tenant;
  record.state = store::SandboxState::kStarting;
  record.template_name = from.record.name;
  record.template_id = from.record.id;
  record.image = from.record.image;
  record.kernel = from.record.kernel;
  record.disk_mb = static_cast<int>(disk_mb);
  record.timeout_sec = request.timeout_sec;
  record.on_timeout = on_timeout;
  record.auto_resume = request.auto_resume;
  record.egress = request.has_network.value_or(!request.network.IsOff());
  Network network = request.network;
  network.allow_internet_access = network.allow_internet_access.value_or(false);
  record.network = ToJson(network);
  record.envs = request.envs;
  record.metadata = request.metadata;
  record.agent_token = RandomHex(64);
  record.created_at = std::chrono::system_clock::now();
  return record;
}

store::SandboxRecord PlanFork(const store::SandboxRecord& parent) {
  store::SandboxRecord record = parent;
  record.id = NewId("sb");
  record.version = 0;
  record.state = store::SandboxState::kStarting;
  record.reason.clear();
  record.disk.clear();
  record.snapshot.clear();
  record.machine.clear();
  record.agent_token = RandomHex(64);
  record.created_at = std::chrono::system_clock::now();
  record.started_at.reset();
  record.ended_at.reset();
  record.last_active_at.reset();
  return record;
}

Amount AmountOf(const store::SandboxRecord& record) {
  return {1, record.vcpus, record.memory_mb, record.disk_mb};
}

}  // namespace wrenn::sandbox
