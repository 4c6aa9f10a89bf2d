#include <charconv>
#include <limits>

#include "server/config.h"

namespace wrenn::server {
namespace {

constexpr int64_t kMostWarm = 1000;

Result<int64_t> ParseNumber(const std::string& text, int64_t low, int64_t high) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < low || number > high) {
    return Fail(Code::kInvalidArgument, "'{}' is no whole number between {} and {}", text, low,
                high);
  }
  return number;
}

Status SetChoice(std::string& target, const std::string& value,
                 std::initializer_list<std::string_view> choices) {
  std::string list;
  for (const std::string_view choice : choices) {
    if (choice == value) {
      target = value;
      return {};
    }
    list += list.empty() ? "" : ", ";
    list += choice;
  }
  return Fail(Code::kInvalidArgument, "'{}' is none of {}", value, list);
}

// "127.0.0.1:8080", "[::1]:8080" or a port alone.
Status SetListen(ServerConfig& config, const std::string& value) {
  const size_t colon = value.rfind(':');
  std::string address = colon == std::string::npos ? config.address : value.substr(0, colon);
  if (address.starts_with('[') && address.ends_with(']')) {
    address = address.substr(1, address.size() - 2);
  }
  const auto port = ParseNumber(value.substr(colon == std::string::npos ? 0 : colon + 1), 0, 65535);
  if (!port || address.empty()) {
    return Fail(Code::kInvalidArgument, "'{}' is no address and port such as 127.0.0.1:8080",
                value);
  }
  config.address = address == "localhost" ? "127.0.0.1" : address;
  config.port = static_cast<uint16_t>(*port);
  return {};
}

Status SetPath(std::string& target, const std::string& value) {
  if (!value.starts_with('/')) {
    return Fail(Code::kInvalidArgument, "'{}' is no absolute path", value);
  }
  target = value;
  while (target.size() > 1 && target.back() == '/') target.pop_back();
  return {};
}

Status SetRoot(ServerConfig& config, const std::string& value) {
  RETURN_IF_ERROR(SetPath(config.paths.root, value));
  // Sockets follow the root, so that two servers of one user do not meet; `runtime` may say more.
  config.paths.runtime = config.paths.root + "/run";
  return {};
}

Status SetRuntime(ServerConfig& config, const std::string& value) {
  return SetPath(config.paths.runtime, value);
}

Status SetOnShutdown(ServerConfig& config, const std::string& value) {
  std::string choice;
  RETURN_IF_ERROR(SetChoice(choice, value, {"keep", "pause", "stop"}));
  config.at_shutdown = choice == "pause"  ? sandbox::AtShutdown::kPause
                       : choice == "stop" ? sandbox::AtShutdown::kStop
                                          : sandbox::AtShutdown::kKeep;
  return {};
}

Status SetAcceleration(ServerConfig& config, const std::string& value) {
  return SetChoice(config.acceleration, value, {"auto", "kvm", "tcg"});
}

Status SetEngine(ServerConfig& config, const std::string& value) {
  return SetChoice(config.engine, value, {"auto", "qemu", "firecracker"});
}

Status SetFirecracker(ServerConfig& config, const std::string& value) {
  if (value.empty()) return Fail(Code::kInvalidArgument, "an empty name is no program");
  config.firecracker = value;
  return {};
}

Status SetBackend(ServerConfig& config, const std::string& value) {
  return SetChoice(config.disk_backend, value, {"auto", "qcow2", "reflink", "copy", "dm-snapshot"});
}

Status SetDiskBandwidth(ServerConfig& config, const std::string& value) {
  ASSIGN_OR_RETURN(const int64_t mib, ParseNumber(value, 0, std::numeric_limits<int>::max()));
  config.disk_rate.bytes = mib << 20;
  return {};
}

Status SetDiskOperations(ServerConfig& config, const std::string& value) {
  ASSIGN_OR_RETURN(config.disk_rate.operations,
                   ParseNumber(value, 0, std::numeric_limits<int>::max()));
  return {};
}

Status SetVerifyAtLoad(ServerConfig& config, const std::string& value) {
  std::string choice;
  RETURN_IF_ERROR(SetChoice(choice, value, {"on", "off"}));
  config.verify_at_load = choice == "on";
  return {};
}

template <auto Member>
Status SetIsolation(ServerConfig& config, const std::string& value) {
  std::string choice;
  RETURN_IF_ERROR(SetChoice(choice, value, {"auto", "on", "off"}));
  config.isolation.*Member = choice == "on"    ? sandbox::Want::kOn
                             : choice == "off" ? sandbox::Want::kOff
                                               : sandbox::Want::kAuto;
  return {};
}

Status SetLogFile(ServerConfig& config, const std::string& value) {
  return SetPath(config.log_file, value);
}

Status SetLogLevel(ServerConfig& config, const std::string& value) {
  return SetChoice(config.log_level, value, {"debug", "info", "warn", "error"});
}

template <auto Member>
Status SetLimit(ServerConfig& config, const std::string& value) {
  using Number = std::remove_reference_t<decltype(config.limits.*Member)>;
  ASSIGN_OR_RETURN(const int64_t number, ParseNumber(value, 0, std::numeric_limits<int>::max()));
  config.limits.*Member = static_cast<Number>(number);
  return {};
}

Status SetRetention(ServerConfig& config, const std::string& value) {
  ASSIGN_OR_RETURN(config.ended_retention_hours, ParseNumber(value, 0, 24 * 3650));
  return {};
}

// "auto", "off", or "minimal=4,base=1": these always have so many, the others by demand.
Status SetWarmPool(ServerConfig& config, const std::string& value) {
  sandbox::WarmPoolConfig pool;
  if (value == "off") pool.most = 0;
  std::string_view rest = value == "off" || value == "auto" ? "" : std::string_view(value);
  while (!rest.empty()) {
    const std::string_view one = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), one.size() + 1));
    const size_t equals = one.find('=');
    if (equals == 0 || equals == std::string_view::npos) {
      return Fail(Code::kInvalidArgument,
                  "'{}' is none of auto, off, or TEMPLATE=NUMBER,TEMPLATE=NUMBER...", value);
    }
    ASSIGN_OR_RETURN(const int64_t count,
                     ParseNumber(std::string(one.substr(equals + 1)), 0, kMostWarm));
    pool.fixed[std::string(one.substr(0, equals))] = static_cast<int>(count);
  }
  config.warm_pool = std::move(pool);
  return {};
}

Status SetStandby(ServerConfig& config, const std::string& value) {
  ASSIGN_OR_RETURN(config.standby_seconds, ParseNumber(value == "off" ? "0" : value, 0, 24 * 3600));
  return {};
}

using sandbox::Isolation;
using sandbox::Limits;

// The order counts: root before runtime.
constexpr Setting kSettings[] = {
    {"root", "WRENN_ROOT", "--root", "FOLDER", "Where everything is kept", false, SetRoot},
    {"runtime", "WRENN_RUNTIME", "--runtime", "FOLDER", "Where sockets are", false, SetRuntime},
    {"listen", "WRENN_LISTEN", "--listen", "ADDRESS:PORT",
     "Where the API listens (127.0.0.1:8080); port 0 takes a free one", false, SetListen},
    {"on_shutdown", "WRENN_ON_SHUTDOWN", "--on-shutdown", "keep|pause|stop",
     "Whether sandboxes go on when the server ends (keep)", false, SetOnShutdown},
    {"ended_retention_hours", "WRENN_ENDED_RETENTION_HOURS", "--ended-retention-hours", "HOURS",
     "How long records and consoles of ended sandboxes are kept (24)", true, SetRetention},
    {"log_level", "WRENN_LOG_LEVEL", "--log-level", "LEVEL", "debug, info, warn or error (info)",
     false, SetLogLevel},
    {"log_file", "WRENN_LOG_FILE", "--log-file", "FILE",
     "Where the log goes, rotated at 10 MiB with 3 old ones kept (stderr)", false, SetLogFile},
    {"warm_pool", "WRENN_WARM_POOL", "--warm-pool", "auto|off|NAME=N,...",
     "Machines kept ready: by demand, none, or so many of these templates always (auto)", false,
     SetWarmPool},
    {"standby", "WRENN_STANDBY", "--standby", "SECONDS",
     "How long a paused sandbox's machine stays in memory too, to go on at once; 0: not at all "
     "(60)",
     true, SetStandby},
    {"verify_at_load", "WRENN_VERIFY_AT_LOAD", "--verify-at-load", "on|off",
     "Whether memory and disk of a snapshot are compared with their checksums before each use "
     "(off)",
     false, SetVerifyAtLoad},
    {"engine.name", "WRENN_ENGINE", "--engine", "auto|qemu|firecracker",
     "What runs machines; firecracker needs KVM and root, and cannot pause yet (auto: qemu)", false,
     SetEngine},
    {"engine.firecracker", "WRENN_FIRECRACKER", "--firecracker", "FILE",
     "Firecracker's program (looked for in PATH)", false, SetFirecracker},
    {"engine.acceleration", "WRENN_ACCEL", "--accel", "auto|kvm|tcg",
     "How QEMU's machines run: with hardware, emulated, or what works (auto)", false,
     SetAcceleration},
    {"disk.backend", "WRENN_DISK_BACKEND", "--disk-backend", "NAME",
     "auto, qcow2, reflink, copy or dm-snapshot (auto: qcow2, or what suits Firecracker)", false,
     SetBackend},
    {"disk.mb_per_sec", "WRENN_DISK_MB_PER_SEC", "--disk-mb-per-sec", "MIB",
     "What each sandbox may read and write of its disk a second (no limit)", true,
     SetDiskBandwidth},
    {"disk.ops_per_sec", "WRENN_DISK_OPS_PER_SEC", "--disk-ops-per-sec", "N",
     "How often it may, likewise (no limit)", true, SetDiskOperations},
    {"isolation.jail", "WRENN_JAIL", "--jail", "auto|on|off",
     "Whether VMMs see nothing of the host, as users of their own (auto: where they can be jailed)",
     false, SetIsolation<&Isolation::jail>},
    {"isolation.cgroups", "WRENN_CGROUPS", "--cgroups", "auto|on|off",
     "Whether memory, processors and processes of VMMs are limited (auto: where they can be)",
     false, SetIsolation<&Isolation::cgroups>},
    {"isolation.slots", "WRENN_SLOTS", "--slots", "auto|on|off",
     "Whether networks are namespaces of the kernel's instead of user-mode (auto: where they can "
     "be)",
     false, SetIsolation<&Isolation::slots>},
    {"limits.max_sandboxes", "WRENN_MAX_SANDBOXES", "--max-sandboxes", "N",
     "Sandboxes at a time; 0, here and below: no limit", true, SetLimit<&Limits::max_sandboxes>},
    {"limits.max_memory_mb", "WRENN_MAX_MEMORY_MB", "--max-memory-mb", "MIB",
     "Memory of all sandboxes (85 % of the host's)", true, SetLimit<&Limits::max_memory_mb>},
    {"limits.max_vcpus", "WRENN_MAX_VCPUS", "--max-vcpus", "N",
     "Virtual CPUs of all sandboxes (8 per CPU)", true, SetLimit<&Limits::max_vcpus>},
    {"limits.max_disk_mb", "WRENN_MAX_DISK_MB", "--max-disk-mb", "MIB",
     "Disks of all sandboxes, as large as their guests see them (what fits on the host's)", true,
     SetLimit<&Limits::max_disk_mb>},
    {"limits.max_sandbox_vcpus", "WRENN_MAX_SANDBOX_VCPUS", "--max-sandbox-vcpus", "N",
     "Virtual CPUs of one sandbox", true, SetLimit<&Limits::max_sandbox_vcpus>},
    {"limits.max_sandbox_disk_mb", "WRENN_MAX_SANDBOX_DISK_MB", "--max-sandbox-disk-mb", "MIB",
     "Disk of one sandbox", true, SetLimit<&Limits::max_sandbox_disk_mb>},
    {"limits.max_parallel_starts", "WRENN_MAX_PARALLEL_STARTS", "--max-parallel-starts", "N",
     "Starts at the same time (one per CPU)", true, SetLimit<&Limits::max_parallel_starts>},
    {"limits.min_free_disk_mb", "WRENN_MIN_FREE_DISK_MB", "--min-free-disk-mb", "MIB",
     "Free space below which nothing is started (512)", true, SetLimit<&Limits::min_free_disk_mb>},
};

}  // namespace

std::span<const Setting> Settings() { return kSettings; }

}  // namespace wrenn::server
