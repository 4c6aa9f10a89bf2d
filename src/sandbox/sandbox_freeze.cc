// How a running machine becomes a snapshot (docs/adr/0006-snapshots.md).
#include <fcntl.h>
#include <unistd.h>

#include "base/id.h"
#include "base/revert.h"
#include "memory/capture.h"
#include "os/files.h"
#include "sandbox/sandbox.h"
#include "sandbox/text.h"

namespace wrenn::sandbox {
namespace {

Status SyncFile(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd || ::fdatasync(fd.get()) < 0) return Fail(ErrnoError("cannot sync '" + path + "'"));
  return {};
}

// How long a freeze may take beside its writing.
constexpr std::chrono::seconds kFreezeLimit{30};

}  // namespace

snapshot::Manifest Sandbox::Describe(const std::string& snapshot_id) const {
  const store::SandboxRecord now = record();
  snapshot::Manifest manifest;
  manifest.id = snapshot_id;
  manifest.sandbox = id_;
  manifest.created_at = std::chrono::system_clock::now();
  manifest.engine = now.engine;
  manifest.vcpus = now.vcpus;
  manifest.memory_mb = now.memory_mb;
  manifest.disk_mb = now.disk_mb;
  manifest.egress = now.egress;
  manifest.kernel = now.kernel;
  manifest.image = now.image;
  manifest.template_name = now.template_name;
  manifest.template_id = now.template_id;
  manifest.agent_token = now.agent_token;
  return manifest;
}

// Leaves the machine frozen, whatever happens.
Status Sandbox::Freeze(snapshot::Draft& draft, snapshot::Manifest& manifest, Phases& phases) {
  const Deadline deadline = Deadline::After(kFreezeLimit);
  const std::shared_ptr<vmm::Machine> machine = Machine();
  ASSIGN_OR_RETURN(const vmm::MachineConfig config, Configuration());
  ASSIGN_OR_RETURN(const disk::Layers layers, ParseDisk(record().disk));
  manifest.fingerprint = services_.engine.Fingerprint(config);
  manifest.layers = disk::LayerNames(layers);

  RETURN_IF_ERROR(machine->Freeze(deadline));
  phases.Mark("freeze");
  RETURN_IF_ERROR(machine->SaveState(draft.path() + snapshot::kStateFile, deadline));
  phases.Mark("state");
  ASSIGN_OR_RETURN(const memory::ProcessMemory memory, machine->Memory());
  ASSIGN_OR_RETURN(const memory::Ranges ranges, memory.Written());
  RETURN_IF_ERROR(WriteMemory(
      ranges, [&](uint64_t offset, std::span<char> out) { return memory.Read(offset, out); },
      draft.path(), phases));
  RETURN_IF_ERROR(SyncFile(config.disk));
  RETURN_IF_ERROR(disk::LinkLayers(layers, files_.folder(), draft.path()));
  phases.Mark("disk");
  return {};
}

Status Sandbox::WriteMemory(const memory::Ranges& ranges, const memory::PageReader& read,
                            const std::string& directory, Phases& phases) {
  ASSIGN_OR_RETURN(const memory::Image before, files_.MemoryImage());
  memory::Written written;
  ASSIGN_OR_RETURN(const memory::Image image,
                   memory::WriteImage(before, files_.folder(), ranges, read, directory, written));
  RETURN_IF_ERROR(memory::Save(image, directory));
  phases.Note("written_pages_bytes", json::value(written.candidate_bytes));
  phases.Note("memory_bytes", json::value(written.data_bytes));
  phases.Mark("memory");
  return {};
}

// The machine runs again when this returns, whatever happened.
Status Sandbox::FreezeAndGoOn(snapshot::Draft& draft, snapshot::Manifest& manifest,
                              Phases& phases) {
  const Deadline deadline = Deadline::After(kFreezeLimit);
  const std::shared_ptr<vmm::Machine> machine = Machine();
  ASSIGN_OR_RETURN(const vmm::MachineConfig config, Configuration());
  ASSIGN_OR_RETURN(const disk::Layers layers, ParseDisk(record().disk));
  manifest.fingerprint = services_.engine.Fingerprint(config);
  manifest.layers = disk::LayerNames(layers);

  // All that can be done beforehand.
  Revert revert;
  ASSIGN_OR_RETURN(const disk::Layer next, disk::AddLayer(files_.folder(), layers.front(), 0));
  const std::string next_path = files_.folder() + "/" + next.name;
  revert.Add([&] { (void)os::RemoveTree(next_path); });
  RETURN_IF_ERROR(machine->PrepareDisk(next_path, deadline));
  revert.Add([&] { (void)machine->DropDisk(next_path, deadline); });
  ASSIGN_OR_RETURN(const memory::ProcessMemory memory, machine->Memory());
  phases.Mark("prepare");

  Revert thaw;
  thaw.Add([&] { (void)machine->Continue(deadline); });
  RETURN_IF_ERROR(machine->Freeze(deadline));
  RETURN_IF_ERROR(machine->SaveState(draft.path() + snapshot::kStateFile, deadline));
  phases.Mark("state");
  ASSIGN_OR_RETURN(memory::Ranges ranges, memory.Written());
  ASSIGN_OR_RETURN(const memory::Copy copy, memory::Copy::Take(memory, std::move(ranges)));
  phases.Mark("copy");
  RETURN_IF_ERROR(machine->SwitchDisk(next_path, deadline));
  revert.Disarm();
  thaw.Disarm();
  RETURN_IF_ERROR(machine->Continue(deadline));
  phases.Mark("switch");

  disk::Layers now = layers;
  now.insert(now.begin(), next);
  NoteDisk(now);
  RETURN_IF_ERROR(disk::LinkLayers(layers, files_.folder(), draft.path()));
  return WriteMemory(
      copy.ranges(), [&](uint64_t offset, std::span<char> out) { return copy.Read(offset, out); },
      draft.path(), phases);
}

// A failure costs the next sandbox a boot, no more.
void Sandbox::KeepWarm(const std::string& place, Phases& phases) {
  const auto keep = [&]() -> Status {
    ASSIGN_OR_RETURN(snapshot::Draft draft, snapshot::Draft::Make(place));
    snapshot::Manifest manifest = Describe(NewId("sn"));
    manifest.agent_token.clear();  // it has none yet
    RETURN_IF_ERROR(FreezeAndGoOn(draft, manifest, phases));
    Status committed = draft.Commit(manifest, snapshot::Durability::kDurable);
    // Another sandbox has been quicker.
    if (!committed && committed.error().code == Code::kAlreadyExists) return {};
    return committed;
  };
  if (Status kept = keep(); !kept) {
    services_.Tell(Severity::kWarning, id_, "its template's machine could not be kept warm",
                   {{"error", CleanTail(kept.error().ToString(), 2000)}});
  }
  phases.Mark("warm");
}

}  // namespace wrenn::sandbox
