#include "sandbox/template_snapshot.h"

#include "base/id.h"
#include "base/revert.h"

namespace wrenn::sandbox {
namespace {

Error NameTaken(const std::string& name) {
  return Error{
      Code::kAlreadyExists,
      fmt::format("there is a template '{}' already: choose another name, or overwrite it", name),
      {}};
}

}  // namespace

Result<store::TemplateRecord> SnapshotAsTemplate(Services& services, Sandbox& sandbox,
                                                 std::string name, bool overwrite) {
  if (name.empty()) name = "snapshot-" + RandomHex(8);
  if (!IsName(name)) {
    return Fail(
        Code::kInvalidArgument,
        "'{}' is no name: 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning and ending with a "
        "letter or digit",
        name.substr(0, 63));
  }
  const auto before = services.store.FindTemplate(sandbox.tenant(), name);
  if (before && !overwrite) return Fail(NameTaken(name));
  if (before && before->type != "snapshot") {
    return Fail(Code::kAlreadyExists, "'{}' is a template that was built, not a snapshot", name);
  }

  store::TemplateRecord record;
  record.id = NewId("tp");
  record.snapshot = NewId("sn");
  const std::string place = services.config.paths.Snapshot(record.snapshot);
  ASSIGN_OR_RETURN(const snapshot::Manifest manifest, sandbox.executor().Call([&] {
    return sandbox.TakeSnapshot(record.snapshot, place, snapshot::Durability::kDurable);
  }));
  Revert revert;
  revert.Add([&] { (void)snapshot::Remove(place); });

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
  Status put = services.store.PutTemplate(record, overwrite);
  if (!put && put.error().code == Code::kAlreadyExists) return Fail(NameTaken(name));
  RETURN_IF_ERROR(std::move(put));
  revert.Disarm();
  // Sandboxes that were made of the earlier one have links to all they need.
  if (before) (void)snapshot::Remove(services.config.paths.Snapshot(before->snapshot));
  return record;
}

}  // namespace wrenn::sandbox
