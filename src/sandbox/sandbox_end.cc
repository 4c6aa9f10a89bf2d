// How a sandbox ends: asked to, by itself, or for good.
#include "sandbox/sandbox.h"
#include "sandbox/text.h"

namespace wrenn::sandbox {
namespace {

using std::chrono::milliseconds;
using store::SandboxState;

// A SIGKILL takes effect at once, but the kernel may be slow to give back a large guest's memory.
constexpr milliseconds kKillLimit{10'000};
// For the agent to say that it begins to shut down.
constexpr milliseconds kShutdownAnswerLimit{5'000};

}  // namespace

Result<store::SandboxRecord> Sandbox::Stop(const std::string& reason) {
  if (IsRemoved()) return Fail(Code::kNotFound, "no sandbox '{}'", id_);
  if (store::IsEnded(state())) return record();
  SetClosing(true);
  const bool frozen = state() == SandboxState::kPaused;
  Phases phases = BeginPhases("stop");
  if (const SandboxState now = state();
      now == SandboxState::kRunning || now == SandboxState::kPaused) {
    Status intent = RecordIntent({SandboxState::kStopping, reason, "stop", "intent"}, true);
    if (!intent) {
      SetClosing(false);
      return Fail(std::move(intent.error()));
    }
    phases.Mark("record");
  }

  std::shared_ptr<agent::Client> client;
  std::shared_ptr<ExitSignal> exit;
  {
    std::lock_guard lock(mutex_);
    if (!interrupted_ && !frozen && machine_ && WhyHeldLocked().empty()) client = client_;
    exit = exit_;
  }
  if (client && exit && !exit->Get()) {
    const Status asked = client->Shutdown(
        Deadline::After(std::min(kShutdownAnswerLimit, services_.config.stop_limit)));
    // An agent that does not answer has not begun to shut down: then there is nothing to wait for.
    const auto ended =
        asked ? exit->Wait(Deadline::After(services_.config.stop_limit)) : exit->Get();
    phases.Mark("guest");
    phases.Note("end", json::value(CleanTail(ended ? ended->reason : "killed")));
    if (!asked) phases.Note("error", json::value(CleanTail(asked.error().ToString())));
  }
  const Status torn = TearDown(Leave::kLogs, &phases);
  phases.Mark("release");
  RETURN_IF_ERROR(
      RecordEnd({SandboxState::kStopped, reason, "stop", "done", phases.Finish()}, torn));
  return record();
}

void Sandbox::EndIfIdle() {
  if (WorksInBackground()) return;
  int64_t timeout_sec = 0;
  bool pauses = false;
  {
    // Deciding and refusing new leases is one step: nobody comes in between.
    std::lock_guard lock(mutex_);
    if (record_.state != SandboxState::kRunning || closing_ || removed_) return;
    timeout_sec = record_.timeout_sec;
    pauses = record_.on_timeout == "pause";
    if (!activity_.IdleDeadline(timeout_sec).HasPassed()) return;
    closing_ = true;
  }
  // A failure is told; the sandbox stays and is tried again.
  const std::string reason = fmt::format("idle for {} s", timeout_sec);
  if (const auto ended = pauses ? PauseNow(reason) : Stop(reason); !ended) {
    services_.Tell(Severity::kWarning, id_, ended.error().WithContext("it is idle").ToString());
  }
}

void Sandbox::HandleExit(const std::shared_ptr<ExitSignal>& of, const vmm::MachineExit& exit) {
  {
    std::lock_guard lock(mutex_);
    if (removed_ || exit_ != of) return;
  }
  if (store::IsEnded(state()) && HoldsMachine()) return FinishEnd();
  if (state() == SandboxState::kPaused) return EndStandby("its machine has ended: " + exit.reason);
  // In other states the task that brought them about handles the end itself.
  if (state() != SandboxState::kRunning) return;
  SetClosing(true);
  Phases phases = BeginPhases("exit");
  if (const auto console = files_.ConsoleTail(kMaxText); console && !exit.clean) {
    phases.Note("console", json::value(CleanTail(*console)));
  }
  EndNow(exit.clean ? SandboxState::kStopped : SandboxState::kError, WhyEnded(exit), phases);
}

void Sandbox::EndNow(SandboxState state, const std::string& reason, Phases& phases) {
  const Status torn = TearDown(Leave::kLogs, &phases);
  phases.Mark("release");
  (void)RecordEnd({state, CleanTail(reason), "exit", "", phases.Finish()}, torn);
}

std::string Sandbox::WhyEnded(const vmm::MachineExit& exit) const {
  const std::string limit = share_.LimitReached();
  return limit.empty() ? exit.reason : limit;
}

void Sandbox::CheckDisk() {
  const std::string why = share_.DiskFailure();
  if (why.empty()) return;
  executor_->Post([weak = weak_from_this(), why] {
    if (const auto sandbox = weak.lock()) sandbox->HandleDiskFailure(why);
  });
}

// The guest gets errors for all that it reads and writes: nothing that it does from now on counts.
void Sandbox::HandleDiskFailure(const std::string& why) {
  if (state() != SandboxState::kRunning) return;
  SetClosing(true);
  Phases phases = BeginPhases("exit");
  EndNow(SandboxState::kError, "its disk failed: " + why, phases);
}

// It could not be ended in time, and has ended at last.
void Sandbox::FinishEnd() {
  const store::SandboxRecord before = record();
  const Status torn = TearDown(Leave::kLogs);
  (void)RecordEnd({before.state, before.reason, "exit", "late"}, torn);
}

Status Sandbox::Destroy() {
  if (IsRemoved()) return {};
  SetClosing(true);
  Phases phases = BeginPhases("remove");
  const SandboxState before = state();
  if (before != SandboxState::kStopping && (!store::IsEnded(before) || HoldsMachine())) {
    Status intent =
        RecordIntent({SandboxState::kStopping, kRemovedReason, "remove", "intent"}, true);
    if (!intent) {
      SetClosing(before != SandboxState::kRunning);
      return intent;
    }
    phases.Mark("record");
  }
  Status gone = TearDown(Leave::kNothing, &phases);
  phases.Mark("release");
  if (gone) gone = RemoveRecord();
  if (gone) {
    services_.Tell(Severity::kInfo, id_, "removed", phases.Finish());
    return {};
  }
  Error error = gone.error().WithContext(fmt::format("sandbox '{}' could not be removed", id_));
  const SandboxState left = state() == SandboxState::kStopping ? SandboxState::kError : state();
  (void)RecordFact({left, CleanTail(error.message), "remove", "failed"});
  if (!IsLive()) services_.forget(id_);
  services_.Tell(Severity::kError, id_, "could not be removed",
                 {{"error", CleanTail(error.ToString())}});
  return Fail(std::move(error));
}

Status Sandbox::EndMachine(Phases* phases) {
  std::shared_ptr<vmm::Machine> machine;
  std::shared_ptr<agent::Client> client;
  bool orphan = false;
  {
    std::lock_guard lock(mutex_);
    machine = machine_;
    client = client_;
    orphan = orphan_;
  }
  json::object known = record().machine;
  // Its caller gives that back when it has ended.
  if (auto spare = services_.standbys.Take(id_)) reservation_ = std::move(*spare);
  share_.BeginEnd();
  if (client) client->channel().Close();
  if (machine) {
    if (auto killed = machine->Kill(Deadline::After(kKillLimit)); !killed) {
      return Fail(killed.error().WithContext("the machine could not be ended"));
    }
  } else if (orphan) {
    if (known.empty()) {
      if (auto written = files_.ReadMachine()) known = std::move(*written);
    }
    if (auto reaped = services_.engine.Reap(Place(), known); !reaped) {
      return Fail(reaped.error().WithContext("the machine could not be ended"));
    }
  }
  const auto gone = [phases](std::string_view what) {
    if (phases) phases->Mark(what);
  };
  if (machine || orphan) gone("vmm");
  // Nothing that a live machine uses may go before it.
  RETURN_IF_ERROR(share_.Release(known, gone));
  std::lock_guard lock(mutex_);
  orphan_ = false;
  machine_.reset();
  client_.reset();
  record_.machine.clear();
  return {};
}

// In this order, since nothing that a live machine uses may go; each step is harmless when it has
// been done before.
Status Sandbox::TearDownMachine() {
  RETURN_IF_ERROR(EndMachine());
  reservation_.Release();
  return files_.RemoveAllButLogs();
}

Status Sandbox::TearDown(Leave leave, Phases* phases) {
  RETURN_IF_ERROR(EndMachine(phases));
  reservation_.Release();
  RETURN_IF_ERROR(RemoveSnapshot());
  return leave == Leave::kLogs ? files_.RemoveAllButLogs() : files_.RemoveAll();
}

Status Sandbox::RecordEnd(Change change, const Status& torn) {
  if (!torn) {
    const std::string error = CleanTail(torn.error().ToString());
    change.details["release_error"] = error;
    services_.Tell(Severity::kError, id_, "could not be released", {{"error", error}});
    // A paused one is what its snapshot says.
    if (HoldsMachine() && change.state != SandboxState::kPaused) {
      change.state = SandboxState::kError;
      change.reason = CleanTail(torn.error().message);
    }
  }
  const Status stored = RecordFact(change);
  EndStandbyLater();
  const bool error = change.state == SandboxState::kError;
  services_.Tell(error ? Severity::kWarning : Severity::kInfo, id_,
                 fmt::format("{}: {}", store::StateName(change.state), change.reason),
                 change.details);
  if (!stored) {
    services_.Tell(Severity::kError, id_, "its end could not be recorded, it will be tried again",
                   {{"error", stored.error().ToString()}});
  }
  if (!IsLive()) services_.forget(id_);
  return stored;
}

Status Sandbox::RemoveRecord() {
  Status removed = services_.store.RemoveSandbox(id_);
  if (!removed && removed.error().code != Code::kNotFound) return removed;
  {
    std::lock_guard lock(mutex_);
    removed_ = true;
    unsaved_.reset();
  }
  services_.forget(id_);
  return {};
}

}  // namespace wrenn::sandbox
