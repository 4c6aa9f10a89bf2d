// How a paused sandbox's machine stays in memory for a while, and goes on from there
// (docs/adr/0012-standby.md).
#include "sandbox/plan.h"
#include "sandbox/sandbox.h"
#include "sandbox/text.h"

namespace wrenn::sandbox {
namespace {

using store::SandboxState;

// For one that stood by to answer. It has answered before and takes milliseconds; if it does not,
// there is the snapshot.
constexpr std::chrono::seconds kAnswerLimit{20};
// Between two tries to end a machine.
constexpr std::chrono::seconds kTryAgain{10};

}  // namespace

bool Sandbox::MayStandBy() const {
  return services_.config.standby.count() > 0 && !services_.closing && WhyHeld().empty() &&
         services_.standbys.HasRoom(record().memory_mb);
}

// Its snapshot is there and it writes to another layer, so nothing depends on it any more.
bool Sandbox::StandBy() {
  // Connections into the guest end with a pause.
  Agent()->channel().Close();
  if (!services_.standbys.Keep(id_, Machine(), record().memory_mb, reservation_)) return false;
  std::lock_guard lock(mutex_);
  standby_until_ = Deadline::After(services_.config.standby);
  return true;
}

// Before a resume: so that nobody else ends its machine, with room for it to run. One without a
// machine gets the room alone.
Status Sandbox::TakeBack() {
  if (HoldsMachine()) {
    if (auto spare = services_.standbys.Take(id_)) {
      reservation_ = std::move(*spare);
    } else {
      EndStandby("its memory is wanted");
      if (HoldsMachine()) {
        return Fail(Code::kUnavailable, "its machine of before could not be ended: try again");
      }
    }
  }
  Status room = services_.reserve(reservation_, AmountOf(record()));
  if (!room) LeaveBe();
  return room;
}

// It is not resumed after all.
void Sandbox::LeaveBe() {
  const bool stays =
      HoldsMachine() && services_.standbys.Keep(id_, Machine(), record().memory_mb, reservation_);
  if (stays) return;
  EndStandby("its memory is wanted");
  reservation_.Release();
}

Deadline Sandbox::StandbyDeadline() const {
  std::lock_guard lock(mutex_);
  if (record_.state != SandboxState::kPaused || (!machine_ && !orphan_)) return Deadline::Never();
  return standby_until_;
}

// A paused one's machine that could not be ended: it is tried again.
void Sandbox::EndStandbyLater() {
  {
    std::lock_guard lock(mutex_);
    if (record_.state != SandboxState::kPaused || (!machine_ && !orphan_)) return;
    standby_until_ = Deadline::After(kTryAgain);
  }
  services_.wake_reaper();
}

void Sandbox::EndStandby(const std::string& why) {
  if (state() != SandboxState::kPaused || !HoldsMachine()) return;
  Phases phases = BeginPhases("standby");
  Status gone = EndMachine(&phases);
  if (gone) gone = ReleasePaused();
  phases.Mark("release");
  phases.Note("why", json::value(why));
  if (!gone) phases.Note("error", json::value(CleanTail(gone.error().ToString())));
  const json::object times = phases.Finish();
  // It is as paused as it was.
  (void)RecordFact(
      {SandboxState::kPaused, record().reason, "standby", gone ? "ended" : "failed", times});
  services_.Tell(gone ? Severity::kInfo : Severity::kError, id_,
                 gone ? "stands by no longer" : "its machine that stood by could not be ended",
                 times);
  EndStandbyLater();
  TidyLater();
}

void Sandbox::EndStandbyInTime() {
  if (StandbyDeadline().HasPassed()) EndStandby("its time is over");
}

// The machine goes on where it stood, and the guest is told what it is told after a restore.
Status Sandbox::GoOnFromStandby(const Source& source, Phases& phases) {
  const std::shared_ptr<vmm::Machine> machine = Machine();
  const Deadline deadline = Deadline::After(
      std::min<std::chrono::milliseconds>(kAnswerLimit, services_.config.boot_limit));
  ASSIGN_OR_RETURN(const disk::Layers layers, ParseDisk(record().disk));
  NoteDisk(layers, source.manifest->layer_digests);
  RETURN_IF_ERROR(files_.NoteParent(source.manifest->id));
  auto channel = machine->NewChannel();
  TakeMachine(machine, std::make_shared<agent::Client>(channel, source.manifest->agent_token));
  RETURN_IF_ERROR(channel->Open(deadline));
  RETURN_IF_ERROR(machine->Continue(deadline));
  phases.Mark("continue");
  return PrepareAgent(deadline, phases);
}

}  // namespace wrenn::sandbox
