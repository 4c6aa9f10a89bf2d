#include "sandbox/recovery.h"

#include <set>

#include "base/id.h"
#include "os/files.h"
#include "sandbox/host_share.h"

namespace wrenn::sandbox {
namespace {

using Ids = std::set<std::string>;

// What of the host's the engine's machines need. What an earlier server's have stays.
Status OpenHost(Services& services, const std::string& backend) {
  ASSIGN_OR_RETURN(auto records, services.store.ListAllSandboxes());
  std::erase_if(records, [](const store::SandboxRecord& record) {
    return store::IsEnded(record.state) && record.machine.empty();
  });
  ASSIGN_OR_RETURN(services.host,
                   HostResources::Open(services.config, services.engine.info(), backend, records));
  return {};
}

// What no sandbox has any more.
void ClearHost(const Services& services, const Directory& directory) {
  Ids keep;
  for (const auto& sandbox : directory.Live()) keep.insert(sandbox->id());
  if (const Status cleared = services.host.RemoveStale(keep); !cleared) {
    services.Tell(Severity::kWarning, "", "what sandboxes have left could not be removed",
                  {{"error", cleared.error().ToString()}});
  }
}

// What runs goes on running; the rest is brought to an end.
Status RecoverRecords(Services& services, Directory& directory, Ids& known) {
  ASSIGN_OR_RETURN(const auto records, services.store.ListAllSandboxes());
  std::vector<std::future<void>> done;
  for (const store::SandboxRecord& record : records) {
    known.insert(record.id);
    if (store::IsEnded(record.state) && record.machine.empty()) continue;
    const auto found = directory.FindAny(record.id);
    if (!found) {
      services.Tell(Severity::kError, record.id, found.error().ToString());
      continue;
    }
    directory.Add(*found);
    auto promise = std::make_shared<std::promise<void>>();
    done.push_back(promise->get_future());
    (*found)->executor().Post([sandbox = *found, promise] {
      sandbox->Recover();
      promise->set_value();
    });
  }
  for (auto& one : done) one.wait();
  return {};
}

// A folder without a record: its record was lost, or removed just before the folder was.
void RemoveOrphan(Services& services, const std::string& id) {
  vmm::MachineConfig config;
  config.id = id;
  config.directory = services.config.paths.Sandbox(id);
  config.runtime_directory = services.config.paths.SandboxRuntime(id);
  SandboxFiles files(services.config.paths, id, nullptr);
  const auto machine = files.ReadMachine();
  const json::object known = machine ? *machine : json::object();
  Status removed = services.engine.Reap(config, known);
  if (removed) removed = HostShare(services.host, id).Release(known);
  if (removed) removed = files.RemoveAll();
  services.Tell(removed ? Severity::kWarning : Severity::kError, id,
                removed ? "removed what was left of it without a record"
                        : "what is left of it without a record could not be removed",
                removed ? json::object() : json::object{{"error", removed.error().ToString()}});
}

// What forks and replaced templates left, and drafts.
Status RemoveOrphanedSnapshots(const Services& services) {
  const std::string folder = services.config.paths.Snapshots();
  snapshot::RemoveDrafts(folder);
  snapshot::RemoveDrafts(services.config.paths.Warm());
  PruneWarm(services);
  ASSIGN_OR_RETURN(const auto sandboxes, services.store.ListAllSandboxes());
  ASSIGN_OR_RETURN(const auto templates, services.store.ListAllTemplates());
  Ids named;
  for (const auto& sandbox : sandboxes) named.insert(sandbox.snapshot);
  for (const auto& record : templates) named.insert(record.snapshot);
  ASSIGN_OR_RETURN(const auto names, os::ListDirectory(folder));
  for (const std::string& name : names) {
    if (IsId("sn", name) && !named.contains(name)) (void)snapshot::Remove(folder + "/" + name);
  }
  return {};
}

}  // namespace

Status RecoverAll(Services& services, Directory& directory, const std::string& backend) {
  RETURN_IF_ERROR(OpenHost(services, backend));
  Ids known;
  RETURN_IF_ERROR(RecoverRecords(services, directory, known));

  Ids orphans;
  const os::Paths& paths = services.config.paths;
  ASSIGN_OR_RETURN(const auto folders, os::ListDirectory(paths.Sandboxes()));
  for (const std::string& name : folders) {
    if (IsId("sb", name) && !known.contains(name)) orphans.insert(name);
  }
  // Sockets are also left where the folder is gone already, and by ended sandboxes.
  ASSIGN_OR_RETURN(const auto sockets, os::ListDirectory(paths.runtime + "/sb"));
  for (const std::string& name : sockets) {
    if (!IsId("sb", name) || directory.FindLive(name)) continue;
    if (known.contains(name)) {
      (void)os::RemoveTree(paths.SandboxRuntime(name));
    } else {
      orphans.insert(name);
    }
  }
  for (const std::string& id : orphans) RemoveOrphan(services, id);
  ClearHost(services, directory);
  return RemoveOrphanedSnapshots(services);
}

}  // namespace wrenn::sandbox
