#include "sandbox/host_resources.h"

#include <algorithm>

#include "disk/probe.h"
#include "os/digest.h"
#include "sandbox/host_share.h"
#include "sandbox/sandbox_files.h"

namespace wrenn::sandbox {
namespace {

constexpr const char* kDmSnapshot = "dm-snapshot";

void Warn(const ManagerConfig& config, const std::string& message, const std::string& error) {
  if (config.observer) {
    config.observer(Happening{Severity::kWarning, "", message, {{"error", error}}});
  }
}

// Steps below a transition's, named "<part>.<step>".
disk::DmSnapshots::OnStep StepsOf(const char* part, const ManagerConfig& config) {
  return [part, call = config.on_step](const std::string& id, std::string_view step) {
    store::SandboxRecord record;
    record.id = id;
    call(fmt::format("{}.{}", part, step), record);
  };
}

// Whether a machine has a device that an earlier server made.
bool HasDevice(const store::SandboxRecord& record) {
  const auto layers = ParseDisk(record.disk);
  return layers && disk::NeedsDevice(layers->front().name);
}

// Also for what has devices from before this backend was chosen: without them it would have to end.
Result<std::unique_ptr<disk::DmSnapshots>> ChooseDisks(
    const ManagerConfig& config, const std::string& backend,
    const std::vector<store::SandboxRecord>& live) {
  const bool chosen = backend == kDmSnapshot;
  if (!chosen && !std::ranges::any_of(live, HasDevice)) return nullptr;
  disk::DmSnapshots::OnStep on_step;
  if (config.on_step) on_step = StepsOf("disk", config);
  auto opened = disk::DmSnapshots::Open(config.paths.root, std::move(on_step));
  if (opened || chosen) return opened;
  Warn(config, "block devices of sandboxes cannot be taken over", opened.error().ToString());
  return nullptr;
}

Result<std::unique_ptr<net::SlotPool>> OpenSlots(const ManagerConfig& config,
                                                 const std::vector<store::SandboxRecord>& live) {
  net::SlotPoolOptions options;
  options.folder = config.paths.runtime + "/slots";
  options.on_error = [&config](const Error& error) {
    Warn(config, "network slots", error.ToString());
  };
  std::vector<int> in_use;
  for (const store::SandboxRecord& record : live) {
    if (const auto slot = HostShare::SlotIn(record.machine)) in_use.push_back(*slot);
  }
  return net::SlotPool::Start(std::move(options), in_use);
}

// Where an engine can do without, none.
Result<std::unique_ptr<net::SlotPool>> ChooseSlots(const ManagerConfig& config,
                                                   const vmm::EngineInfo& engine,
                                                   const std::vector<store::SandboxRecord>& live) {
  if (!engine.needs_slot && !engine.takes_slot) return nullptr;
  const Want want = config.isolation.slots;
  if (want == Want::kOff && engine.needs_slot) {
    return Fail(Code::kInvalidArgument, "{} needs network slots: use --slots auto", engine.name);
  }
  constexpr const char* kWithout = "egress is by user-mode networks, not by network slots";
  if (want == Want::kOff) {
    Warn(config, kWithout, "slots are switched off");
    return nullptr;
  }
  auto pool = OpenSlots(config, live);
  if (pool) return pool;
  if (engine.needs_slot || want == Want::kOn) {
    return Fail(pool.error().WithContext("network slots cannot be made"));
  }
  Warn(config, kWithout, pool.error().ToString());
  return nullptr;
}

Result<std::optional<os::CgroupTree>> OpenCgroups(const ManagerConfig& config) {
  constexpr const char* kWithout = "memory, processors and processes of VMMs are not limited";
  if (config.isolation.cgroups == Want::kOff) {
    Warn(config, kWithout, "cgroups are switched off");
    return std::nullopt;
  }
  auto tree = os::CgroupTree::Open(os::Sha256Hex(config.paths.root).substr(0, 16));
  if (!tree && config.isolation.cgroups == Want::kOn) {
    return Fail(tree.error().WithContext("VMMs shall be limited by cgroups"));
  }
  if (!tree) {
    Warn(config, kWithout, tree.error().ToString());
    return std::nullopt;
  }
  for (const std::string& controller : tree->missing()) {
    Warn(config, "a limit of VMMs is off", "there is no cgroup controller '" + controller + "'");
  }
  return std::optional(std::move(*tree));
}

}  // namespace

Result<HostResources> HostResources::Open(const ManagerConfig& config,
                                          const vmm::EngineInfo& engine, const std::string& backend,
                                          const std::vector<store::SandboxRecord>& live) {
  HostResources resources;
  if (config.on_step) resources.on_step = StepsOf("host", config);
  ASSIGN_OR_RETURN(resources.disks, ChooseDisks(config, backend, live));
  ASSIGN_OR_RETURN(resources.slots, ChooseSlots(config, engine, live));
  resources.slot_for_all = engine.needs_slot;
  if (engine.jailed) {
    resources.users = std::make_unique<UserNumbers>(config.paths.root);
  } else if (!engine.jail_explanation.empty()) {
    Warn(config, "VMMs are not jailed", engine.jail_explanation);
  }
  resources.vmm_memory_bytes = engine.vmm_memory_bytes;
  if (engine.vmm_memory_bytes > 0) {
    ASSIGN_OR_RETURN(resources.cgroups, OpenCgroups(config));
  }
  return resources;
}

Status HostResources::RemoveStale(const std::set<std::string>& keep) const {
  const Deadline deadline = Deadline::After(std::chrono::seconds(10));
  Status removed;
  if (cgroups) removed = cgroups->RemoveStale({keep.begin(), keep.end()}, deadline);
  if (!disks) return removed;
  const Status devices = disks->RemoveStale(keep, deadline);
  return removed ? devices : removed;
}

Result<std::string> ChooseDiskBackend(const ManagerConfig& config, const vmm::EngineInfo& engine) {
  const std::string& wanted = config.disk_backend;
  if (!engine.raw_disks && wanted != kDmSnapshot) {
    ASSIGN_OR_RETURN(const auto backend, disk::MakeBackend(wanted));
    return std::string(backend->name());
  }
  if (wanted == "qcow2") {
    return Fail(Code::kFailedPrecondition,
                "{} reads raw disks only: use the backend dm-snapshot, reflink or copy",
                engine.name);
  }
  constexpr std::string_view kRaw[] = {kDmSnapshot, "reflink", "copy"};
  const std::string_view one[] = {wanted};
  const auto probes = disk::ProbeBackends(config.paths.root);
  if (wanted == "auto") return disk::ChooseBackend(probes, kRaw);
  return disk::ChooseBackend(probes, one);
}

}  // namespace wrenn::sandbox
