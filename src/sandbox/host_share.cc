#include "sandbox/host_share.h"

#include <chrono>

#include "base/revert.h"

namespace wrenn::sandbox {
namespace {

// The kernel closes a dead VMM's disk within milliseconds; a busy host may take longer.
constexpr std::chrono::seconds kRemoveLimit{10};

// What a VMM takes beside the guest's memory, and its threads beside those of virtual CPUs.
constexpr uint64_t kVmmMemory = 128 << 20;
constexpr unsigned kVmmCpuMillis = 250;
constexpr uint64_t kVmmThreads = 64;

os::CgroupLimits LimitsOf(const vmm::MachineConfig& config) {
  os::CgroupLimits limits;
  limits.memory_bytes = (static_cast<uint64_t>(config.memory_mb) << 20) + kVmmMemory;
  limits.cpu_millis = static_cast<unsigned>(config.vcpus) * 1000 + kVmmCpuMillis;
  limits.processes = static_cast<uint64_t>(config.vcpus) + kVmmThreads;
  return limits;
}

net::NetworkPolicy PolicyOf(bool internet) {
  net::NetworkPolicy policy;
  policy.internet = internet;
  return policy;
}

}  // namespace

std::optional<int> HostShare::SlotIn(const json::object& machine) {
  JsonReader reader(machine);
  if (!reader.Has("slot")) return std::nullopt;
  const int64_t slot = reader.Int("slot", 0, 0, net::kMaxSlots - 1);
  if (!reader.Finish()) return std::nullopt;
  return static_cast<int>(slot);
}

void HostShare::Note(json::object& machine) const {
  if (slot_) machine["slot"] = slot_->plan().index;
}

void HostShare::Complete(vmm::MachineConfig& config) const {
  if (disk_) config.disk = disk_->path();
  if (cgroup_) config.cgroup_fd = cgroup_->fd();
  if (!slot_) return;
  config.net_namespace = slot_->path();
  config.user = kFirstUser + static_cast<uint32_t>(slot_->plan().index);
}

Status HostShare::Acquire(const std::string& base, bool internet, vmm::MachineConfig& config) {
  Revert revert;
  revert.Add([this] { (void)Release({}); });
  if (host_.disks) {
    ASSIGN_OR_RETURN(auto disk, host_.disks->Attach(id_, config.disk, base));
    disk_.emplace(std::move(disk));
  }
  if (host_.slots) {
    ASSIGN_OR_RETURN(slot_, host_.slots->Claim(PolicyOf(internet)));
    RETURN_IF_ERROR(slot_->SetTapOwner(kFirstUser + static_cast<uint32_t>(slot_->plan().index)));
  }
  if (host_.cgroups) {
    ASSIGN_OR_RETURN(auto cgroup, host_.cgroups->Make(id_, LimitsOf(config)));
    cgroup_.emplace(std::move(cgroup));
  }
  Complete(config);
  revert.Disarm();
  return {};
}

Status HostShare::Adopt(const json::object& machine, const std::string& base,
                        vmm::MachineConfig& config) {
  if (host_.disks) {
    ASSIGN_OR_RETURN(auto disk, host_.disks->Adopt(id_, config.disk, base));
    disk_.emplace(std::move(disk));
  }
  if (host_.slots) {
    const auto index = SlotIn(machine);
    if (!index) return Fail(Code::kNotFound, "the machine's record names no network slot");
    ASSIGN_OR_RETURN(slot_, host_.slots->Adopt(*index));
  }
  if (host_.cgroups) {
    // One that was started where there were none goes on without.
    if (auto cgroup = host_.cgroups->Adopt(id_)) cgroup_.emplace(std::move(*cgroup));
  }
  Complete(config);
  return {};
}

Status HostShare::Release(const json::object& machine) {
  const Deadline deadline = Deadline::After(kRemoveLimit);
  if (disk_) {
    RETURN_IF_ERROR(disk_->Remove(deadline));
    disk_.reset();
  } else if (host_.disks) {
    RETURN_IF_ERROR(host_.disks->Clear(id_, deadline));
  }
  if (const auto index = SlotIn(machine); index && !slot_ && host_.slots) {
    // One that cannot be adopted is removed by the attempt.
    if (auto slot = host_.slots->Adopt(*index)) slot_ = std::move(*slot);
  }
  if (slot_) host_.slots->Release(std::move(*slot_));
  slot_.reset();
  if (host_.cgroups && !cgroup_) {
    if (auto cgroup = host_.cgroups->Adopt(id_)) cgroup_.emplace(std::move(*cgroup));
  }
  if (cgroup_) RETURN_IF_ERROR(cgroup_->Remove(deadline));
  cgroup_.reset();
  return {};
}

std::string HostShare::LimitReached() const {
  if (!cgroup_) return {};
  const auto events = cgroup_->Events();
  if (!events || events->memory_kills == 0) return {};
  return "its VMM needed more memory than it may and was killed";
}

}  // namespace wrenn::sandbox
