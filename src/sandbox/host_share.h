// HostShare: one sandbox's part of HostResources.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>

#include "sandbox/host_resources.h"

namespace wrenn::sandbox {

// What it stands for outlives the object and the server, like the machine that uses it; it ends by
// Release(), when the machine has ended. For the sandbox's executor alone, but for what is said to
// be for any thread.
class HostShare {
 public:
  HostShare(HostResources& host, std::string id) : host_(host), id_(std::move(id)) {}

  // Takes what its machine needs and puts it into `config`, whose disk is the file of the disk's
  // top layer; `base` is the image under it. On failure nothing is left.
  Status Acquire(const std::string& base, const net::NetworkPolicy& policy,
                 vmm::MachineConfig& config);
  // Takes over what another has of this id, when this has nothing.
  void TakeFrom(HostShare& other);
  // Takes over what an earlier server took for a machine of this record, and completes `config`
  // likewise; its slot gets the policy again. kNotFound when something of it is gone.
  Status Adopt(const json::object& machine, const std::string& base,
               const net::NetworkPolicy& policy, vmm::MachineConfig& config);
  bool HasSlot() const { return slot_.has_value(); }
  // Of its slot, which there is. On failure the policy before stays.
  Status SetPolicy(const net::NetworkPolicy& policy) { return slot_->SetPolicy(policy); }
  // Holds what its machine writes to a block device, since the host's disk is about to be full: the
  // first write that finds no room there would end that device. Or lets it go on. Harmless where
  // there is no device, or when it is so already. For any thread.
  Status HoldDisk(bool hold);
  bool IsHeld() const { return held_; }
  // Why the kernel has given its block device up; empty when it has not, or cannot be asked now.
  // For any thread.
  std::string DiskFailure() const;
  // From here to EndRest() the disk is not held: a machine whose writes wait cannot be frozen.
  // kUnavailable when it is held already.
  Status BeginRest();
  void EndRest();
  // Calls `use` while all that its frozen machine has written is in the file of changes below its
  // block device, if it has one, and nothing is written to that. Between BeginRest() and EndRest().
  // kDataLoss when the kernel has given the device up.
  Status WithDiskAtRest(const std::function<Status()>& use);
  // The machine is about to be ended, which it cannot be while it is held: it never is again.
  void BeginEnd();
  // Gives all back, from above: the block device, its loop devices, the slot, the cgroup; also what
  // an earlier server took for a machine of this record. The machine has ended. Harmless when there
  // is nothing; after a failure it can be tried again. `on_gone` as for disk::DmSnapshot::Remove().
  Status Release(const json::object& machine, const disk::DmSnapshot::OnGone& on_gone = {});

  // Why a limit of the host's has ended the machine; empty when none has.
  std::string LimitReached() const;

  // What is counted of it now. For any thread.
  HostUse Use() const;

  // Adds what Adopt() needs to the record of the machine.
  void Note(json::object& machine) const;
  static std::optional<int> SlotIn(const json::object& machine);
  static uint32_t UserIn(const json::object& machine);  // 0: none

 private:
  Result<disk::DmSnapshots*> Disks() const;
  void TakeDisk(disk::DmSnapshot disk);
  Status RemoveDisk(Deadline deadline, const disk::DmSnapshot::OnGone& on_gone);
  void TakeSlot(net::Slot slot);
  void TakeCgroup(os::Cgroup cgroup);
  void DropCgroup();
  std::optional<net::Slot> GiveSlot();
  void Complete(vmm::MachineConfig& config) const;
  void Step(std::string_view name) const;

  HostResources& host_;
  const std::string id_;
  std::atomic<bool> held_ = false;
  mutable std::mutex mutex_;  // guards the changes of what follows
  bool ending_ = false;
  bool resting_ = false;
  std::optional<disk::DmSnapshot> disk_;
  std::optional<net::Slot> slot_;
  std::optional<os::Cgroup> cgroup_;
  uint32_t user_ = 0;  // of its VMM
};

}  // namespace wrenn::sandbox
