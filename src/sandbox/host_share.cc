#include "sandbox/host_share.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/revert.h"

namespace wrenn::sandbox {
namespace {

// The kernel closes a dead VMM's disk within milliseconds; a busy host may take longer.
constexpr std::chrono::seconds kRemoveLimit{10};

// What a VMM has beside its virtual CPUs: QEMU ends itself when it gets none of the up to 64
// threads that read and write its disks.
constexpr unsigned kVmmCpuMillis = 250;
constexpr uint64_t kVmmThreads = 96;

// Of a virtual CPU when all want more than the host has; what cgroups have by themselves, and the
// kernel's limit.
constexpr unsigned kWeightOfOne = 100;
constexpr unsigned kMostWeight = 10'000;

os::CgroupLimits LimitsOf(const vmm::MachineConfig& config, uint64_t vmm_memory_bytes) {
  os::CgroupLimits limits;
  limits.memory_bytes = (static_cast<uint64_t>(config.memory_mb) << 20) + vmm_memory_bytes;
  limits.cpu_millis = static_cast<unsigned>(config.vcpus) * 1000 + kVmmCpuMillis;
  limits.cpu_weight = std::min(static_cast<unsigned>(config.vcpus) * kWeightOfOne, kMostWeight);
  limits.processes = static_cast<uint64_t>(config.vcpus) + kVmmThreads;
  return limits;
}

// What cannot be assigned.
template <typename T>
void Move(std::optional<T>& from, std::optional<T>& to) {
  to.reset();
  if (from) to.emplace(std::move(*from));
  from.reset();
}

}  // namespace

std::optional<int> HostShare::SlotIn(const json::object& machine) {
  JsonReader reader(machine);
  if (!reader.Has("slot")) return std::nullopt;
  const int64_t slot = reader.Int("slot", 0, 0, net::kMaxSlots - 1);
  if (!reader.Finish()) return std::nullopt;
  return static_cast<int>(slot);
}

uint32_t HostShare::UserIn(const json::object& machine) {
  JsonReader reader(machine);
  const int64_t user = reader.Int("user", 0, 0, INT32_MAX);
  return reader.Finish() ? static_cast<uint32_t>(user) : 0;
}

void HostShare::Note(json::object& machine) const {
  if (user_ != 0) machine["user"] = int64_t{user_};
  if (slot_) machine["slot"] = slot_->plan().index;
}

void HostShare::TakeDisk(disk::DmSnapshot disk) {
  std::lock_guard lock(mutex_);
  ending_ = false;
  disk_.emplace(std::move(disk));
}

Status HostShare::RemoveDisk(Deadline deadline, const disk::DmSnapshot::OnGone& on_gone) {
  std::optional<disk::DmSnapshot> disk;
  {
    std::lock_guard lock(mutex_);
    if (disk_) disk.emplace(std::move(*disk_));
    disk_.reset();
  }
  if (!disk) return host_.disks ? host_.disks->Clear(id_, deadline) : Status();
  Status removed = disk->Remove(deadline, on_gone);
  if (removed) return removed;
  std::lock_guard lock(mutex_);
  disk_.emplace(std::move(*disk));
  return removed;
}

Status HostShare::HoldDisk(bool hold) {
  std::lock_guard lock(mutex_);
  if (!disk_ || held_ == hold || (hold && (ending_ || resting_))) return {};
  RETURN_IF_ERROR(hold ? disk_->Hold() : disk_->Resume());
  held_ = hold;
  return {};
}

std::string HostShare::DiskFailure() const {
  std::lock_guard lock(mutex_);
  if (!disk_ || held_ || ending_ || resting_) return {};
  const auto state = disk_->State();
  return state ? state->failure : std::string();
}

Status HostShare::BeginRest() {
  std::lock_guard lock(mutex_);
  if (held_) {
    return Fail(Code::kUnavailable,
                "what '{}' writes waits for room on the host's disk: free some, and try again",
                id_);
  }
  resting_ = true;
  return {};
}

void HostShare::EndRest() {
  std::lock_guard lock(mutex_);
  resting_ = false;
}

// Without the lock: nobody else suspends the device meanwhile, and counting need not wait.
Status HostShare::WithDiskAtRest(const std::function<Status()>& use) {
  if (!disk_) return use();
  RETURN_IF_ERROR(disk_->Suspend());
  Revert resume;
  resume.Add([this] { (void)disk_->Resume(); });
  // What was still to be written may have found no room.
  ASSIGN_OR_RETURN(const disk::SnapshotState state, disk_->State());
  if (!state.failure.empty()) return Fail(Code::kDataLoss, "{}", state.failure);
  RETURN_IF_ERROR(use());
  resume.Disarm();
  return disk_->Resume();
}

void HostShare::BeginEnd() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  // A device that cannot go on is seen when it is removed.
  (void)HoldDisk(false);
}

void HostShare::TakeSlot(net::Slot slot) {
  std::lock_guard lock(mutex_);
  slot_.emplace(std::move(slot));
}

void HostShare::TakeCgroup(os::Cgroup cgroup) {
  std::lock_guard lock(mutex_);
  cgroup_.emplace(std::move(cgroup));
}

void HostShare::DropCgroup() {
  std::lock_guard lock(mutex_);
  cgroup_.reset();
}

std::optional<net::Slot> HostShare::GiveSlot() {
  std::lock_guard lock(mutex_);
  std::optional<net::Slot> slot;
  if (slot_) slot.emplace(std::move(*slot_));
  slot_.reset();
  return slot;
}

HostUse HostShare::Use() const {
  HostUse use;
  std::lock_guard lock(mutex_);
  if (cgroup_) {
    if (const auto used = cgroup_->Usage()) {
      use.memory_peak_bytes = used->memory_peak_bytes;
      use.cpu_microseconds = used->cpu_microseconds;
      use.disk_read_bytes = used->read_bytes;
      use.disk_written_bytes = used->write_bytes;
    }
  }
  if (slot_) {
    // The device is the host's end: what it has received the sandbox has sent.
    if (const auto counters = host_.slots->Counters(*slot_)) {
      use.network_sent_bytes = counters->received_bytes;
      use.network_received_bytes = counters->sent_bytes;
    }
  }
  return use;
}

void HostShare::TakeFrom(HostShare& other) {
  std::scoped_lock lock(mutex_, other.mutex_);
  Move(other.disk_, disk_);
  Move(other.slot_, slot_);
  Move(other.cgroup_, cgroup_);
  user_ = std::exchange(other.user_, 0);
}

void HostShare::Step(std::string_view name) const {
  if (host_.on_step) host_.on_step(id_, name);
}

void HostShare::Complete(vmm::MachineConfig& config) const {
  if (disk_) config.disk = disk_->path();
  if (cgroup_) config.cgroup_fd = cgroup_->fd();
  if (slot_) config.net_namespace = slot_->path();
  config.user = user_;
}

Result<disk::DmSnapshots*> HostShare::Disks() const {
  if (host_.disks) return host_.disks.get();
  return Fail(Code::kFailedPrecondition,
              "the disk of '{}' is a dm-snapshot, and this server has none: see --disk-backend",
              id_);
}

Status HostShare::Acquire(const std::string& base, const net::NetworkPolicy& policy,
                          vmm::MachineConfig& config) {
  Revert revert;
  revert.Add([this] { (void)Release({}); });
  config.base_image = base;
  if (host_.users) {
    ASSIGN_OR_RETURN(user_, host_.users->Take());
  }
  if (disk::NeedsDevice(config.disk)) {
    ASSIGN_OR_RETURN(disk::DmSnapshots* const disks, Disks());
    ASSIGN_OR_RETURN(auto disk, disks->Attach(id_, config.disk, base));
    TakeDisk(std::move(disk));
  }
  if (host_.slots && (host_.slot_for_all || config.network)) {
    ASSIGN_OR_RETURN(net::Slot slot, host_.slots->Claim(policy));
    TakeSlot(std::move(slot));
    if (host_.slot_for_all) RETURN_IF_ERROR(slot_->SetTapOwner(user_));
    Step("slot");
  }
  if (host_.cgroups) {
    ASSIGN_OR_RETURN(os::Cgroup cgroup,
                     host_.cgroups->Make(id_, LimitsOf(config, host_.vmm_memory_bytes)));
    TakeCgroup(std::move(cgroup));
    Step("cgroup");
  }
  Complete(config);
  revert.Disarm();
  return {};
}

Status HostShare::Adopt(const json::object& machine, const std::string& base,
                        const net::NetworkPolicy& policy, vmm::MachineConfig& config) {
  user_ = UserIn(machine);
  if (user_ != 0 && host_.users) host_.users->Keep(user_);
  if (disk::NeedsDevice(config.disk)) {
    ASSIGN_OR_RETURN(disk::DmSnapshots* const disks, Disks());
    ASSIGN_OR_RETURN(auto disk, disks->Adopt(id_, config.disk, base));
    TakeDisk(std::move(disk));
  }
  if (const auto index = SlotIn(machine)) {
    if (!host_.slots) {
      return Fail(Code::kFailedPrecondition,
                  "its machine is in a network slot, and this server has none: see --slots");
    }
    ASSIGN_OR_RETURN(net::Slot slot, host_.slots->Adopt(*index));
    TakeSlot(std::move(slot));
    // The server may have ended between recording another and setting it.
    RETURN_IF_ERROR(slot_->SetPolicy(policy));
  }
  if (host_.cgroups) {
    // One that was started where there were none goes on without.
    if (auto cgroup = host_.cgroups->Adopt(id_)) TakeCgroup(std::move(*cgroup));
  }
  Complete(config);
  return {};
}

Status HostShare::Release(const json::object& machine, const disk::DmSnapshot::OnGone& on_gone) {
  const Deadline deadline = Deadline::After(kRemoveLimit);
  RETURN_IF_ERROR(RemoveDisk(deadline, on_gone));
  if (const auto index = SlotIn(machine); index && !slot_ && host_.slots) {
    // One that cannot be adopted is removed by the attempt.
    if (auto slot = host_.slots->Adopt(*index)) TakeSlot(std::move(*slot));
  }
  if (auto slot = GiveSlot()) {
    host_.slots->Release(std::move(*slot));
    Step("slot-gone");
  }
  if (host_.cgroups && !cgroup_) {
    if (auto cgroup = host_.cgroups->Adopt(id_)) TakeCgroup(std::move(*cgroup));
  }
  if (cgroup_) {
    RETURN_IF_ERROR(cgroup_->Remove(deadline));
    DropCgroup();
    Step("cgroup-gone");
  }
  if (user_ != 0 && host_.users) host_.users->GiveBack(user_);
  user_ = 0;
  return {};
}

std::string HostShare::LimitReached() const {
  if (!cgroup_) return {};
  const auto events = cgroup_->Events();
  if (!events || events->memory_kills == 0) return {};
  return "its VMM needed more memory than it may and was killed";
}

}  // namespace wrenn::sandbox
