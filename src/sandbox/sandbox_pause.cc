// How a sandbox is frozen, comes back, and is copied.
#include "base/id.h"
#include "os/files.h"
#include "sandbox/sandbox.h"
#include "sandbox/text.h"
#include "snapshot/layer_digests.h"

namespace wrenn::sandbox {
namespace {

using store::SandboxState;

// For the guest to write its own caches to its disk, so that the disk alone is worth something.
constexpr std::chrono::seconds kSyncLimit{5};
// Layers up to this size get their digests while somebody waits for the pause: about 30 ms.
constexpr uint64_t kQuickDigest = 32 << 20;

}  // namespace

Result<store::SandboxRecord> Sandbox::Pause(const std::string& reason) {
  {
    std::lock_guard lock(mutex_);
    RETURN_IF_ERROR(CheckRunning());
    closing_ = true;
  }
  return PauseNow(reason);
}

Result<store::SandboxRecord> Sandbox::PauseNow(const std::string& reason) {
  Phases phases = BeginPhases("pause");
  const std::string snapshot_id = NewId("sn");
  const std::string place = services_.config.paths.Snapshot(snapshot_id);
  {
    std::lock_guard lock(mutex_);
    record_.snapshot = snapshot_id;
  }
  if (Status intent = RecordIntent({SandboxState::kPausing, reason, "pause", "intent"}, false);
      !intent) {
    ForgetSnapshot();
    SetClosing(false);
    return Fail(std::move(intent.error()));
  }
  phases.Mark("record");
  // A guest that cannot is frozen all the same: its caches are in its memory.
  if (WhyHeld().empty()) (void)Agent()->Sync(Deadline::After(kSyncLimit));
  Agent()->CloseIdle();
  phases.Mark("sync");

  const auto freeze = [&]() -> Status {
    ASSIGN_OR_RETURN(snapshot::Draft draft, snapshot::Draft::Make(place));
    snapshot::Manifest manifest = Describe(snapshot_id);
    RETURN_IF_ERROR(Freeze(draft, manifest, phases));
    RETURN_IF_ERROR(snapshot::AddLayerDigests(draft.path(), manifest, {}, kQuickDigest));
    phases.Mark("digests");
    return draft.Commit(manifest, snapshot::Durability::kDurable);
  };
  if (Status frozen = freeze(); !frozen) return Fail(UndoPause(frozen.error(), phases));
  phases.Mark("commit");

  // From here on it is paused whatever happens: a restarted server finishes this.
  if (Status ended = EndMachine(); !ended) {
    services_.Tell(Severity::kError, id_, "its machine could not be ended after the pause",
                   {{"error", CleanTail(ended.error().ToString())}});
    return Fail(std::move(ended.error()));
  }
  phases.Mark("vmm");
  reservation_.Release();
  if (Status cleared = files_.RemoveAllButLogs(); !cleared) {
    services_.Tell(Severity::kError, id_, "what it needed to run could not be removed",
                   {{"error", CleanTail(cleared.error().ToString())}});
  }
  NoteDisk({});
  phases.Mark("release");
  const json::object times = phases.Finish();
  (void)RecordFact({SandboxState::kPaused, reason, "pause", "done", times});
  SetClosing(false);
  services_.Tell(Severity::kInfo, id_, "paused", times);
  TidyLater();
  return record();
}

// It goes on running, unless its machine has ended meanwhile.
Error Sandbox::UndoPause(const Error& why, Phases& phases) {
  const Error error = why.WithContext("it could not be paused");
  const std::shared_ptr<vmm::Machine> machine = Machine();
  // Before it runs: a server that finds the snapshot of a pause takes the sandbox for paused.
  (void)RemoveSnapshot();
  (void)GoOn();
  ForgetSnapshot();
  phases.Note("error", json::value(CleanTail(error.ToString())));
  if (const auto exit = machine->exit()) {
    const Status torn = TearDown(Leave::kLogs);
    (void)RecordEnd({exit->clean ? SandboxState::kStopped : SandboxState::kError,
                     CleanTail(exit->reason), "pause", "failed", phases.Finish()},
                    torn);
    return error;
  }
  const json::object times = phases.Finish();
  (void)RecordFact({SandboxState::kRunning, "", "pause", "failed", times});
  SetClosing(false);
  activity_.Touch();
  services_.wake_reaper();
  services_.Tell(Severity::kWarning, id_, error.message, times);
  return error;
}

Result<store::SandboxRecord> Sandbox::Resume(Reservation reservation) {
  const store::SandboxRecord before = record();
  if (IsRemoved()) return Fail(Code::kNotFound, "no sandbox '{}'", id_);
  if (before.state != SandboxState::kPaused) {
    return Fail(Code::kAborted, "sandbox '{}' is {}, not paused", id_,
                store::StateName(before.state));
  }
  Phases phases = BeginPhases("resume");
  Source source;
  source.snapshot = services_.config.paths.Snapshot(before.snapshot);
  auto manifest = snapshot::Open(source.snapshot);
  if (!manifest) return Fail(manifest.error().WithContext("it cannot be resumed"));
  source.manifest = std::move(*manifest);
  RETURN_IF_ERROR(RecordIntent({SandboxState::kResuming, "", "resume", "intent"}, false));
  reservation_ = std::move(reservation);
  phases.Mark("record");

  Status up = BringUp(source, phases);
  json::object times = phases.Finish();
  if (up) {
    store::SandboxRecord next = record();
    next.state = SandboxState::kRunning;
    next.snapshot.clear();
    next.last_active_at = std::chrono::system_clock::now();
    const auto event = MakeEvent({SandboxState::kRunning, "", "resume", "done", times});
    up = services_.store.UpdateSandbox(next, &event);
    if (up) {
      std::lock_guard lock(mutex_);
      record_ = next;
    }
  }
  if (!up) {
    const Error error = ExplainFailure(up.error()).WithContext("it could not be resumed");
    const Status torn = TearDownMachine();
    NoteDisk({});
    (void)RecordEnd(
        {SandboxState::kPaused, CleanTail(error.message), "resume", "failed", std::move(times)},
        torn);
    return Fail(error);
  }
  activity_.Touch();
  services_.wake_reaper();
  services_.Tell(Severity::kInfo, id_, "resumed", std::move(times));
  // Nothing names it any more; what cannot be removed now is at the next start.
  (void)snapshot::Remove(source.snapshot);
  return record();
}

Result<snapshot::Manifest> Sandbox::TakeSnapshot(const std::string& id, const std::string& place,
                                                 snapshot::Durability durability) {
  if (IsRemoved()) return Fail(Code::kNotFound, "no sandbox '{}'", id_);
  Phases phases = BeginPhases("snapshot");
  if (state() == SandboxState::kPaused) return CopySnapshot(id, place, durability);
  {
    std::lock_guard lock(mutex_);
    RETURN_IF_ERROR(CheckRunning());
  }
  if (durability == snapshot::Durability::kDurable && WhyHeld().empty()) {
    (void)Agent()->Sync(Deadline::After(kSyncLimit));
    phases.Mark("sync");
  }
  ASSIGN_OR_RETURN(snapshot::Draft draft, snapshot::Draft::Make(place));
  snapshot::Manifest manifest = Describe(id);
  RETURN_IF_ERROR(FreezeAndGoOn(draft, manifest, phases));
  if (durability == snapshot::Durability::kDurable) {
    RETURN_IF_ERROR(AddDigests(draft, manifest));
    phases.Mark("digests");
  }
  RETURN_IF_ERROR(draft.Commit(manifest, durability));
  phases.Mark("commit");
  // Its disk has a layer more now.
  const json::object times = phases.Finish();
  const std::string reason = record().reason;
  (void)RecordFact({SandboxState::kRunning, reason, "snapshot", "done", times});
  services_.Tell(Severity::kInfo, id_, "snapshot taken", times);
  TidyLater();
  return manifest;
}

// A paused one's snapshot is copied by links.
Result<snapshot::Manifest> Sandbox::CopySnapshot(const std::string& id, const std::string& place,
                                                 snapshot::Durability durability) {
  const std::string from = services_.config.paths.Snapshot(record().snapshot);
  ASSIGN_OR_RETURN(snapshot::Manifest manifest, snapshot::Open(from));
  ASSIGN_OR_RETURN(snapshot::Draft draft, snapshot::Draft::Make(place));
  ASSIGN_OR_RETURN(const auto names, os::ListDirectory(from));
  for (const std::string& name : names) {
    if ("/" + name == snapshot::kManifestFile) continue;
    RETURN_IF_ERROR(os::LinkFile(from + "/" + name, draft.path() + "/" + name));
  }
  if (durability == snapshot::Durability::kDurable) {
    RETURN_IF_ERROR(snapshot::AddLayerDigests(from, manifest));
  }
  manifest.id = id;
  manifest.created_at = std::chrono::system_clock::now();
  RETURN_IF_ERROR(draft.Commit(manifest, durability));
  return manifest;
}

void Sandbox::ForgetSnapshot() {
  std::lock_guard lock(mutex_);
  record_.snapshot.clear();
}

// The files of a paused sandbox; harmless when there are none.
Status Sandbox::RemoveSnapshot() {
  const std::string id = record().snapshot;
  if (!IsId("sn", id)) return {};
  return snapshot::Remove(services_.config.paths.Snapshot(id));
}

}  // namespace wrenn::sandbox
