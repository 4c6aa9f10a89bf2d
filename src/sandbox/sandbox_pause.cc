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

  bool standby = MayStandBy();
  const auto freeze = [&]() -> Status {
    ASSIGN_OR_RETURN(snapshot::Draft draft, snapshot::Draft::Make(place));
    snapshot::Manifest manifest = Describe(snapshot_id);
    RETURN_IF_ERROR(Freeze(draft, manifest, standby, phases));
    RETURN_IF_ERROR(snapshot::AddLayerDigests(draft.path(), manifest, {}, kQuickDigest));
    phases.Mark("digests");
    return draft.Commit(manifest, snapshot::Durability::kDurable);
  };
  if (Status frozen = freeze(); !frozen) return Fail(UndoPause(frozen.error(), phases));
  phases.Mark("commit");

  // From here on it is paused whatever happens: a restarted server finishes this.
  standby = standby && StandBy();
  if (standby) {
    phases.Mark("standby");
  } else {
    Status gone = EndMachine(&phases);
    if (gone) gone = ReleasePaused();
    if (!gone) {
      const std::string error = CleanTail(gone.error().ToString());
      phases.Note("release_error", json::value(error));
      services_.Tell(Severity::kError, id_, "what it needed to run could not be released",
                     {{"error", error}});
    }
    phases.Mark("release");
  }
  const json::object times = phases.Finish();
  (void)RecordFact({SandboxState::kPaused, reason, "pause", "done", times});
  SetClosing(false);
  services_.Tell(Severity::kInfo, id_, "paused", times);
  if (standby) {
    services_.wake_reaper();
  } else {
    EndStandbyLater();
  }
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
    const Status torn = TearDown(Leave::kLogs, &phases);
    (void)RecordEnd({exit->clean ? SandboxState::kStopped : SandboxState::kError,
                     CleanTail(WhyEnded(*exit)), "pause", "failed", phases.Finish()},
                    torn);
    return error;
  }
  const json::object times = phases.Finish();
  (void)RecordFact({SandboxState::kRunning, "", "pause", "failed", times});
  SetClosing(false);
  activity_.Touch();
  services_.wake_reaper();
  services_.Tell(Severity::kWarning, id_, error.message, times);
  TidyLater();  // its disk may have a layer more now
  return error;
}

// What it needs no more when its machine has ended.
Status Sandbox::ReleasePaused() {
  reservation_.Release();
  NoteDisk({});
  return files_.RemoveAllButLogs();
}

Result<store::SandboxRecord> Sandbox::Resume(bool cold) {
  const store::SandboxRecord before = record();
  if (IsRemoved()) return Fail(Code::kNotFound, "no sandbox '{}'", id_);
  if (before.state != SandboxState::kPaused) {
    return Fail(Code::kAborted, "sandbox '{}' is {}, not paused", id_,
                store::StateName(before.state));
  }
  Phases phases = BeginPhases("resume");
  Source source;
  source.snapshot = services_.config.paths.Snapshot(before.snapshot);
  auto manifest = snapshot::ReadManifest(source.snapshot);
  if (!manifest) return Fail(manifest.error().WithContext("it cannot be resumed"));
  source.manifest = std::move(*manifest);
  source.cold = cold;
  if (cold) {
    const std::string kernel = services_.config.paths.Kernel(before.kernel);
    source.boot.vmlinux = kernel + "/vmlinux";
    source.boot.initramfs = kernel + "/initramfs";
    EndStandby("it is resumed without its memory");
    if (HoldsMachine()) {
      return Fail(Code::kUnavailable, "its machine of before could not be ended: try again");
    }
  }
  RETURN_IF_ERROR(TakeBack());
  if (Status intent = RecordIntent({SandboxState::kResuming, "", "resume", "intent"}, false);
      !intent) {
    LeaveBe();
    return Fail(std::move(intent.error()));
  }
  phases.Mark("record");

  bool standby = HoldsMachine();
  Status up = BringBack(source, standby, phases);
  json::object times = phases.Finish();
  if (up) {
    store::SandboxRecord next = record();
    next.state = SandboxState::kRunning;
    next.snapshot.clear();
    if (cold) next.origin = "boot: resumed without its memory";
    next.last_active_at = std::chrono::system_clock::now();
    const auto event = MakeEvent({SandboxState::kRunning, "", "resume", "done", times});
    up = services_.store.UpdateSandbox(next, &event);
    if (up) {
      std::lock_guard lock(mutex_);
      record_ = next;
    }
  }
  services_.metrics.CountResume(!up ? "failed" : standby ? "standby" : cold ? "boot" : "restore");
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
  if (standby) TidyLater();  // each pause of it leaves a layer in its disk
  return record();
}

// From its standby where it has one (`standby`), else from its snapshot. `standby` becomes false
// where it was of no use.
Status Sandbox::BringBack(const Source& source, bool& standby, Phases& phases) {
  phases.Note("way", json::value(standby ? "standby" : source.cold ? "boot" : "restore"));
  if (!standby) return BringUp(source, phases);
  Status up = GoOnFromStandby(source, phases);
  if (up || IsInterrupted()) return up;
  standby = false;
  phases.Note("way", json::value("restore"));
  // It may have run for an instant. What it wrote is in its own memory and in its own layer of the
  // disk, which go with it: the snapshot is the sandbox.
  RETURN_IF_ERROR(ClearFailedStart(up.error(), phases));
  return BringUp(source, phases);
}

Result<snapshot::Manifest> Sandbox::TakeSnapshot(const std::string& id, const std::string& place,
                                                 snapshot::Durability durability) {
  if (IsRemoved()) return Fail(Code::kNotFound, "no sandbox '{}'", id_);
  Phases phases = BeginPhases("snapshot");
  if (state() == SandboxState::kPaused) {
    return CopySnapshot(id, place, durability, phases);
  }
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
  const auto take = [&]() -> Status {
    RETURN_IF_ERROR(FreezeAndGoOn(draft, manifest, phases));
    if (durability == snapshot::Durability::kDurable) {
      RETURN_IF_ERROR(AddDigests(draft, manifest));
      phases.Mark("digests");
    }
    return draft.Commit(manifest, durability);
  };
  const Status taken = take();
  if (taken) {
    phases.Mark("commit");
  } else {
    phases.Note("error", json::value(CleanTail(taken.error().ToString())));
  }
  // Its disk has a layer more now, also when what came behind that failed.
  const json::object times = phases.Finish();
  const std::string reason = record().reason;
  (void)RecordFact({SandboxState::kRunning, reason, "snapshot", taken ? "done" : "failed", times});
  services_.Tell(taken ? Severity::kInfo : Severity::kWarning, id_,
                 taken ? "snapshot taken" : "no snapshot could be taken", times);
  TidyLater();
  if (!taken) return Fail(taken.error());
  return manifest;
}

// A paused one's snapshot is copied by links.
Result<snapshot::Manifest> Sandbox::CopySnapshot(const std::string& id, const std::string& place,
                                                 snapshot::Durability durability, Phases& phases) {
  const std::string from = services_.config.paths.Snapshot(record().snapshot);
  ASSIGN_OR_RETURN(snapshot::Manifest manifest, snapshot::Open(from));
  ASSIGN_OR_RETURN(snapshot::Draft draft, snapshot::Draft::Make(place));
  ASSIGN_OR_RETURN(const auto names, os::ListDirectory(from));
  for (const std::string& name : names) {
    if ("/" + name == snapshot::kManifestFile) continue;
    RETURN_IF_ERROR(os::LinkFile(from + "/" + name, draft.path() + "/" + name));
  }
  phases.Mark("links");
  if (durability == snapshot::Durability::kDurable) {
    RETURN_IF_ERROR(snapshot::AddLayerDigests(from, manifest));
    phases.Mark("digests");
  }
  manifest.parent = std::exchange(manifest.id, id);
  manifest.created_at = std::chrono::system_clock::now();
  RETURN_IF_ERROR(draft.Commit(manifest, durability));
  phases.Mark("commit");
  const json::object times = phases.Finish();
  (void)RecordFact({SandboxState::kPaused, record().reason, "snapshot", "done", times});
  services_.Tell(Severity::kInfo, id_, "snapshot taken", times);
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
