// HostResources: what sandboxes take of this host besides files, memory and processors: block
// devices, network slots and cgroups.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "disk/dm_snapshot.h"
#include "net/slot_pool.h"
#include "os/cgroup_tree.h"
#include "sandbox/manager.h"
#include "sandbox/user_numbers.h"

namespace wrenn::sandbox {

// Each may be missing, where the engine or the host does without.
struct HostResources {
  std::optional<os::CgroupTree> cgroups;
  uint64_t vmm_memory_bytes = 0;  // vmm::EngineInfo's
  std::unique_ptr<disk::DmSnapshots> disks;
  std::unique_ptr<net::SlotPool> slots;
  std::unique_ptr<UserNumbers> users;  // for VMMs in jails
  bool slot_for_all = false;           // not only for machines with a network
  // Called after each step of taking and giving back ("slot", "slot-gone"), for fault
  // points; may be empty. See ManagerConfig::on_step.
  std::function<void(const std::string& id, std::string_view step)> on_step;

  // Opens those that machines of this engine need, on disks of this backend. `live` are the records
  // of all sandboxes that may run: what they have stays, whatever the backend was, for
  // HostShare::Adopt() or Release(); slots of anybody else with our mark are removed. A host
  // without cgroups is said, no more. kFailedPrecondition and the like, with the remedy, when one
  // of the others is not to be had.
  static Result<HostResources> Open(const ManagerConfig& config, const vmm::EngineInfo& engine,
                                    const std::string& backend,
                                    const std::vector<store::SandboxRecord>& live);

  // Removes cgroups with all processes in them, then devices, of all other sandboxes than these.
  // Tries all, and answers the first failure.
  Status RemoveStale(const std::set<std::string>& keep) const;
};

// The backend that "auto" comes to on this host. kFailedPrecondition when the engine can use none,
// or not the one that is asked for.
Result<std::string> ChooseDiskBackend(const ManagerConfig& config, const vmm::EngineInfo& engine);

}  // namespace wrenn::sandbox
