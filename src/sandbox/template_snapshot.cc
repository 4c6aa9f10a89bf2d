#include "sandbox/template_snapshot.h"

#include "base/id.h"
#include "base/revert.h"
#include "snapshot/flatten.h"
#include "template/garbage.h"
#include "template/workspace.h"

namespace wrenn::sandbox {
namespace {

Error NameTaken(const std::string& name) {
  return Error{
      Code::kAlreadyExists,
      fmt::format("there is a template '{}' already: choose another name, or overwrite it", name),
      {}};
}

}  // namespace

Result<std::optional<store::TemplateRecord>> CheckSnapshotName(Services& services,
                                                               const std::string& tenant,
                                                               const std::string& name,
                                                               bool overwrite) {
  if (!IsName(name)) {
    return Fail(
        Code::kInvalidArgument,
        "'{}' is no name: 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning and ending with a "
        "letter or digit",
        name.substr(0, 63));
  }
  auto before = services.store.FindTemplate(tenant, name);
  if (!before && before.error().code == Code::kNotFound) {
    return std::optional<store::TemplateRecord>();
  }
  if (!before) return Fail(std::move(before.error()));
  if (!overwrite) return Fail(NameTaken(name));
  if (before->type != "snapshot") {
    return Fail(Code::kAlreadyExists, "'{}' is a template that was built, not a snapshot", name);
  }
  return std::optional(std::move(*before));
}

Status RecordSnapshot(Services& services, store::TemplateRecord& record,
                      const std::optional<store::TemplateRecord>& before,
                      const os::FileLock& catalogue_lock) {
  RETURN_IF_ERROR(services.store.PutTemplate(record, before.has_value()));
  if (!before) return {};
  // Sandboxes that were made of the earlier one have links to all they need.
  (void)snapshot::Remove(services.config.paths.Snapshot(before->snapshot));
  (void)template_::CollectGarbage(services.config.paths, services.store, catalogue_lock);
  return {};
}

Result<store::TemplateRecord> SnapshotAsTemplate(Services& services, Sandbox& sandbox,
                                                 std::string name, bool overwrite) {
  if (name.empty()) name = "snapshot-" + RandomHex(8);
  // Before the machine is disturbed; who takes the name meanwhile is seen below.
  RETURN_IF_ERROR(CheckSnapshotName(services, sandbox.tenant(), name, overwrite));

  store::TemplateRecord record;
  record.id = NewId("tp");
  record.snapshot = NewId("sn");
  const std::string place = services.config.paths.Snapshot(record.snapshot);
  ASSIGN_OR_RETURN(const snapshot::Manifest manifest, sandbox.executor().Call([&] {
    return sandbox.TakeSnapshot(record.snapshot, place, snapshot::Durability::kDurable);
  }));
  Revert revert;
  revert.Add([&] { (void)snapshot::Remove(place); });
  // The sandbox does not wait for this, and nobody knows the snapshot yet.
  Phases phases = sandbox.BeginPhases("snapshot");
  RETURN_IF_ERROR(snapshot::FlattenMemory(place));
  phases.Mark("flatten");

  record.tenant = sandbox.tenant();
  record.name = name;
  record.type = "snapshot";
  record.image = manifest.image;
  record.kernel = manifest.kernel;
  record.description = "snapshot of " + sandbox.id();
  record.vcpus = manifest.vcpus;
  record.memory_mb = manifest.memory_mb;
  record.size_bytes = disk::AllocatedBytes(place);
  record.created_at = std::chrono::system_clock::now();

  ASSIGN_OR_RETURN(
      const auto lock,
      template_::LockCatalogue(services.config.paths, Deadline::After(template_::kCatalogueLimit)));
  ASSIGN_OR_RETURN(const auto before, CheckSnapshotName(services, record.tenant, name, overwrite));
  RETURN_IF_ERROR(RecordSnapshot(services, record, before, lock));
  revert.Disarm();
  return record;
}

}  // namespace wrenn::sandbox
