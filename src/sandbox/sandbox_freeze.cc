// How a running machine becomes a snapshot (docs/adr/0006-snapshots.md).
#include "base/id.h"
#include "base/revert.h"
#include "memory/capture.h"
#include "os/files.h"
#include "sandbox/sandbox.h"
#include "sandbox/text.h"
#include "snapshot/layer_digests.h"

namespace wrenn::sandbox {
namespace {

// For each of the VMM's part in it; writing takes as long as it takes.
constexpr std::chrono::seconds kVmmLimit{30};

Deadline VmmDeadline() { return Deadline::After(kVmmLimit); }

// Room for a copy of what is written now, and of what may be until the machine stands still.
// Without it the copy finds its room itself, only later.
memory::CopyRoom MakeRoom(const memory::ProcessMemory& memory) {
  const auto written = memory.Written();
  if (!written) return {};
  constexpr uint64_t kMore = 8 << 20;
  auto room = memory::CopyRoom::Make(memory::TotalLength(*written) + kMore);
  return room ? std::move(*room) : memory::CopyRoom();
}

// Whether a snapshot of a machine that goes on gets a copy of the disk. Of other disks it gets the
// layers, and the machine writes to a new one.
bool IsCopied(const disk::Layers& layers) { return disk::NeedsDevice(layers.front().name); }

}  // namespace

// What is frozen.
struct Sandbox::Subject {
  std::shared_ptr<vmm::Machine> machine;
  memory::ProcessMemory memory;
  disk::Layers layers;
};

snapshot::Manifest Sandbox::Describe(const std::string& snapshot_id) const {
  const store::SandboxRecord now = record();
  snapshot::Manifest manifest;
  manifest.id = snapshot_id;
  manifest.sandbox = id_;
  manifest.parent = files_.Parent();
  manifest.created_at = std::chrono::system_clock::now();
  manifest.engine = now.engine;
  manifest.vcpus = now.vcpus;
  manifest.memory_mb = now.memory_mb;
  manifest.disk_mb = now.disk_mb;
  manifest.egress = now.egress;
  manifest.network = now.network;
  manifest.kernel = now.kernel;
  manifest.image = now.image;
  manifest.template_name = now.template_name;
  manifest.template_id = now.template_id;
  manifest.agent_token = now.agent_token;
  return manifest;
}

Result<Sandbox::Subject> Sandbox::BeginFreeze(snapshot::Manifest& manifest) {
  if (is_disk_unsure_) RETURN_IF_ERROR(CorrectDisk());
  ASSIGN_OR_RETURN(const vmm::MachineConfig config, Configuration());
  ASSIGN_OR_RETURN(disk::Layers layers, ParseDisk(record().disk));
  manifest.fingerprint = services_.engine.Fingerprint(config);
  manifest.layers = disk::LayerNames(layers);
  manifest.layer_digests = DigestsIn(record().disk);
  const std::shared_ptr<vmm::Machine> machine = Machine();
  ASSIGN_OR_RETURN(memory::ProcessMemory memory, machine->Memory());
  return Subject{machine, std::move(memory), std::move(layers)};
}

// Leaves the machine frozen, whatever happens. With `standby` it is also made ready to stand by; if
// that cannot be, `standby` becomes false.
Status Sandbox::Freeze(const snapshot::Draft& draft, snapshot::Manifest& manifest, bool& standby,
                       Phases& phases) {
  ASSIGN_OR_RETURN(const Subject subject, BeginFreeze(manifest));
  RETURN_IF_ERROR(share_.BeginRest());
  Revert rest;
  rest.Add([this] { share_.EndRest(); });
  RETURN_IF_ERROR(subject.machine->Freeze(VmmDeadline()));
  phases.Mark("freeze");
  RETURN_IF_ERROR(subject.machine->SaveState(draft.path() + snapshot::kStateFile, VmmDeadline()));
  phases.Mark("state");
  ASSIGN_OR_RETURN(const memory::Ranges ranges, subject.memory.Written());
  const auto read = [&](uint64_t offset, std::span<char> out) {
    return subject.memory.Read(offset, out);
  };
  ASSIGN_OR_RETURN(const memory::Image image, WriteMemory(ranges, read, draft.path(), phases));
  standby = standby && WhyHeld().empty();
  if (standby) {
    const Status ready = MakeReadyToStandBy(subject, image, draft, manifest);
    if (!ready) phases.Note("standby_error", json::value(CleanTail(ready.error().ToString())));
    standby = ready.has_value();
    phases.Mark("switch");
  }
  if (standby && IsCopied(subject.layers)) return {};
  return share_.WithDiskAtRest([&] { return LinkDisk(subject, draft); });
}

// A snapshot of layers that do not belong together would be worth nothing.
Status Sandbox::LinkDisk(const Subject& subject, const snapshot::Draft& draft) const {
  RETURN_IF_ERROR(disk::LinkLayers(subject.layers, files_.folder(), draft.path()));
  return disk::CheckLayers(draft.path(), subject.layers, BaseImage());
}

Result<memory::Image> Sandbox::WriteMemory(const memory::Ranges& ranges,
                                           const memory::PageReader& read,
                                           const std::string& directory, Phases& phases) const {
  ASSIGN_OR_RETURN(const memory::Image before, files_.MemoryImage());
  memory::Written written;
  ASSIGN_OR_RETURN(memory::Image image,
                   memory::WriteImage(before, files_.folder(), ranges, read, directory, written));
  RETURN_IF_ERROR(memory::Save(image, directory));
  phases.Note("written_pages_bytes", json::value(written.candidate_bytes));
  phases.Note("memory_bytes", json::value(written.data_bytes));
  phases.Mark("memory");
  return image;
}

// The machine goes on when this returns, whatever happened; it is stopped only for SwitchOver().
Status Sandbox::FreezeAndGoOn(const snapshot::Draft& draft, snapshot::Manifest& manifest,
                              Phases& phases) {
  ASSIGN_OR_RETURN(const Subject subject, BeginFreeze(manifest));
  ASSIGN_OR_RETURN(const memory::Copy copy, SwitchOver(subject, draft, manifest, phases));
  if (!IsCopied(subject.layers)) RETURN_IF_ERROR(LinkDisk(subject, draft));
  const auto read = [&](uint64_t offset, std::span<char> out) { return copy.Read(offset, out); };
  ASSIGN_OR_RETURN(const memory::Image image,
                   WriteMemory(copy.ranges(), read, draft.path(), phases));
  RETURN_IF_ERROR(files_.KeepMemory(image, draft.path()));
  return files_.NoteParent(manifest.id);
}

// An empty layer that the machine can switch to; `undo` gives it up again.
Result<disk::Layer> Sandbox::PrepareLayer(const Subject& subject, Revert& undo) const {
  ASSIGN_OR_RETURN(disk::Layer next, disk::AddLayer(files_.folder(), subject.layers.front(), 0));
  const std::string path = files_.folder() + "/" + next.name;
  undo.Add([path] { (void)os::RemoveTree(path); });
  RETURN_IF_ERROR(subject.machine->PrepareDisk(path, VmmDeadline()));
  undo.Add([machine = subject.machine, path] { (void)machine->DropDisk(path, VmmDeadline()); });
  return next;
}

// `undo` is disarmed where the machine has the layer, or may have it.
Status Sandbox::SwitchTo(const Subject& subject, const disk::Layer& layer, Revert& undo) {
  const std::string path = files_.folder() + "/" + layer.name;
  const Status switched = subject.machine->SwitchDisk(path, VmmDeadline());
  if (!switched) {
    // It may have come about all the same.
    const auto in_use = subject.machine->Disk(VmmDeadline());
    is_disk_unsure_ = !in_use;
    if (in_use && *in_use != path) return switched;
  }
  undo.Disarm();
  if (is_disk_unsure_) return switched;
  disk::Layers now = subject.layers;
  now.insert(now.begin(), layer);
  NoteDisk(now);
  return switched;
}

// What its disk is at this moment, as the snapshot's: for one that has no layer to switch to. The
// machine is frozen, and goes on writing to its own.
Status Sandbox::CopyDisk(const Subject& subject, const snapshot::Draft& draft,
                         snapshot::Manifest& manifest) {
  disk::Layer copy;
  RETURN_IF_ERROR(share_.WithDiskAtRest([&]() -> Status {
    ASSIGN_OR_RETURN(copy,
                     disk::CopyChanges(files_.folder(), subject.layers.front(), draft.path(), 0));
    return {};
  }));
  manifest.layers = {copy.name};
  return {};
}

// From now on it has its own copy of what the snapshot has, as one that runs on behind a snapshot:
// the snapshot's files are never written by it. While it is frozen that may take its time.
Status Sandbox::MakeReadyToStandBy(const Subject& subject, const memory::Image& image,
                                   const snapshot::Draft& draft, snapshot::Manifest& manifest) {
  RETURN_IF_ERROR(files_.KeepMemory(image, draft.path()));
  if (IsCopied(subject.layers)) return CopyDisk(subject, draft, manifest);
  Revert undo;
  ASSIGN_OR_RETURN(const disk::Layer next, PrepareLayer(subject, undo));
  return SwitchTo(subject, next, undo);
}

// Takes state and memory, and has the machine write to a new layer of its disk from that instant
// on, or copies the disk.
Result<memory::Copy> Sandbox::SwitchOver(const Subject& subject, const snapshot::Draft& draft,
                                         snapshot::Manifest& manifest, Phases& phases) {
  vmm::Machine& machine = *subject.machine;
  RETURN_IF_ERROR(share_.BeginRest());
  Revert rest;
  rest.Add([this] { share_.EndRest(); });
  Revert revert;
  std::optional<disk::Layer> next;
  if (!IsCopied(subject.layers)) {
    ASSIGN_OR_RETURN(next, PrepareLayer(subject, revert));
  }
  memory::CopyRoom room = MakeRoom(subject.memory);
  phases.Mark("prepare");

  Revert thaw;
  thaw.Add([this] { (void)GoOn(); });
  RETURN_IF_ERROR(machine.Freeze(VmmDeadline()));
  RETURN_IF_ERROR(machine.SaveState(draft.path() + snapshot::kStateFile, VmmDeadline()));
  phases.Mark("state");
  ASSIGN_OR_RETURN(memory::Ranges ranges, subject.memory.Written());
  ASSIGN_OR_RETURN(memory::Copy copy,
                   memory::Copy::Take(subject.memory, std::move(ranges), std::move(room)));
  phases.Mark("copy");
  RETURN_IF_ERROR(next ? SwitchTo(subject, *next, revert) : CopyDisk(subject, draft, manifest));
  thaw.Disarm();
  RETURN_IF_ERROR(GoOn());
  phases.Mark("switch");
  return copy;
}

// Of all layers of a snapshot that stays, while the machine runs already. It knows them from then
// on.
Status Sandbox::AddDigests(const snapshot::Draft& draft, snapshot::Manifest& manifest) {
  RETURN_IF_ERROR(snapshot::AddLayerDigests(draft.path(), manifest));
  ASSIGN_OR_RETURN(const disk::Layers layers, ParseDisk(record().disk));
  NoteDisk(layers, manifest.layer_digests);
  return {};
}

// How its machine ended, if it did: a broken connection is often the first that is seen of that.
std::optional<vmm::MachineExit> Sandbox::WaitForExit() const {
  std::shared_ptr<ExitSignal> exit;
  {
    std::lock_guard lock(mutex_);
    exit = exit_;
  }
  return exit ? exit->Wait(Deadline::After(kExitLag)) : std::nullopt;
}

// A machine that cannot go on is ended: it must not be said to run while it stands still.
Status Sandbox::GoOn() {
  const std::shared_ptr<vmm::Machine> machine = Machine();
  Status goes_on = machine->Continue(VmmDeadline());
  if (!goes_on && !WaitForExit()) {
    services_.Tell(Severity::kError, id_, "its machine does not go on and is ended",
                   {{"error", CleanTail(goes_on.error().ToString())}});
    (void)machine->Kill(VmmDeadline());
  }
  return goes_on;
}

// A failure costs the next sandbox a boot, no more.
void Sandbox::KeepWarm(const std::string& place, Phases& phases) {
  const auto keep = [&]() -> Status {
    ASSIGN_OR_RETURN(snapshot::Draft draft, snapshot::Draft::Make(place));
    snapshot::Manifest manifest = Describe(NewId("sn"));
    manifest.agent_token.clear();  // it has none yet
    RETURN_IF_ERROR(FreezeAndGoOn(draft, manifest, phases));
    RETURN_IF_ERROR(AddDigests(draft, manifest));
    Status committed = draft.Commit(manifest, snapshot::Durability::kDurable);
    // Another sandbox has been quicker.
    if (!committed && committed.error().code == Code::kAlreadyExists) return {};
    return committed;
  };
  if (Status kept = keep(); !kept) {
    services_.Tell(Severity::kWarning, id_, "its template's machine could not be kept warm",
                   {{"error", CleanTail(kept.error().ToString())}});
  }
  phases.Mark("warm");
}

}  // namespace wrenn::sandbox
