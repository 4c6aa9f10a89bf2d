#include "sandbox/sandbox.h"

#include <algorithm>

#include "sandbox/state.h"
#include "sandbox/text.h"

namespace wrenn::sandbox {

using store::SandboxState;

namespace {

// In the environment of a command that nobody need be attached to.
constexpr const char* kBackground = "WRENN_BACKGROUND";
// For the agent to say what runs.
constexpr std::chrono::seconds kListLimit{5};

}  // namespace

// A lease on a running sandbox.
class Sandbox::HeldLease final : public Lease {
 public:
  HeldLease(std::shared_ptr<Sandbox> sandbox, Counts counts, std::shared_ptr<agent::Client> client,
            std::shared_ptr<vmm::Machine> machine, store::SandboxRecord record)
      : sandbox_(std::move(sandbox)),
        counts_(counts == Counts::kActivity),
        client_(std::move(client)),
        machine_(std::move(machine)),
        record_(std::move(record)) {
    if (counts_ && sandbox_->activity_.Begin()) sandbox_->services_.wake_reaper();
  }
  HeldLease(const HeldLease&) = delete;
  HeldLease& operator=(const HeldLease&) = delete;
  ~HeldLease() override {
    if (counts_ && sandbox_->activity_.End()) sandbox_->services_.wake_reaper();
  }

  agent::Client& agent() override { return *client_; }
  const store::SandboxRecord& record() const override { return record_; }
  void Touch() override {
    if (counts_ && sandbox_->activity_.Touch()) sandbox_->services_.wake_reaper();
  }
  void LeaveRunning(wire::StartRequest& command) override {
    command.process.envs.insert_or_assign(kBackground, "true");
    sandbox_->background_ = true;
  }
  HostUse Use() const override {
    HostUse use = sandbox_->share_.Use();
    use.memory_bytes = machine_->HostMemoryBytes();
    return use;
  }

 private:
  const std::shared_ptr<Sandbox> sandbox_;
  const bool counts_;
  const std::shared_ptr<agent::Client> client_;
  const std::shared_ptr<vmm::Machine> machine_;
  const store::SandboxRecord record_;
};

Result<std::shared_ptr<Sandbox>> Sandbox::Make(Services& services, store::SandboxRecord record) {
  ASSIGN_OR_RETURN(auto backend, disk::MakeBackend(record.disk_backend));
  SandboxFiles files(services.config.paths, record.id, std::move(backend));
  return std::shared_ptr<Sandbox>(new Sandbox(services, std::move(record), std::move(files)));
}

Sandbox::Sandbox(Services& services, store::SandboxRecord record, SandboxFiles files)
    : services_(services),
      id_(record.id),
      tenant_(record.tenant),
      executor_(std::make_shared<Executor>(services.workers)),
      files_(std::move(files)),
      share_(services.host, record.id),
      record_(std::move(record)),
      orphan_(!record_.machine.empty()) {}

Phases Sandbox::BeginPhases(const std::string& transition) const {
  return Phases([this, transition](std::string_view phase, std::chrono::duration<double> time) {
    services_.metrics.Observe(transition, phase, time.count());
    const auto& on_step = services_.config.on_step;
    if (on_step) on_step(fmt::format("{}.{}", transition, phase), record());
  });
}

store::SandboxRecord Sandbox::record() const {
  std::lock_guard lock(mutex_);
  store::SandboxRecord copy = record_;
  if (copy.state == SandboxState::kRunning) copy.last_active_at = activity_.last();
  return copy;
}

SandboxState Sandbox::state() const {
  std::lock_guard lock(mutex_);
  return record_.state;
}

store::SandboxRecord Sandbox::RecordAfterLoss() const {
  const auto exit = state() == SandboxState::kRunning ? WaitForExit() : std::nullopt;
  store::SandboxRecord expected = record();
  if (exit && expected.state == SandboxState::kRunning) {
    expected.state = exit->clean ? SandboxState::kStopped : SandboxState::kError;
    expected.reason = HidePaths(CleanTail(exit->reason), services_.config.paths);
  }
  return expected;
}

bool Sandbox::IsLive() const {
  std::lock_guard lock(mutex_);
  return !removed_ && (!store::IsEnded(record_.state) || machine_ || orphan_ || unsaved_);
}

bool Sandbox::IsUnsaved() const {
  std::lock_guard lock(mutex_);
  return unsaved_.has_value();
}

bool Sandbox::IsInterrupted() const {
  std::lock_guard lock(mutex_);
  return interrupted_;
}

bool Sandbox::IsRemoved() const {
  std::lock_guard lock(mutex_);
  return removed_;
}

void Sandbox::SetClosing(bool closing) {
  std::lock_guard lock(mutex_);
  closing_ = closing;
  if (!closing) interrupted_ = false;
}

bool Sandbox::HoldsMachine() const {
  std::lock_guard lock(mutex_);
  return machine_ || orphan_;
}

Status Sandbox::CheckRunning() const {
  if (removed_) return Fail(Code::kNotFound, "no sandbox '{}'", id_);
  if (record_.state == SandboxState::kRunning) {
    // Its record says so as soon as the executor comes to it.
    if (const auto exit = exit_ ? exit_->Get() : std::nullopt) {
      return Fail(Code::kAborted, "sandbox '{}' has just ended: {}", id_, CleanTail(exit->reason));
    }
    if (!closing_) return {};
  }
  if (record_.state == SandboxState::kPaused) {
    return Fail(Code::kAborted, "sandbox '{}' is paused: 'wrenn resume {}' lets it go on", id_,
                id_);
  }
  const auto shown =
      record_.state == SandboxState::kRunning ? SandboxState::kStopping : record_.state;
  return Fail(Code::kAborted, "sandbox '{}' is {}{}{}", id_, store::StateName(shown),
              record_.reason.empty() ? "" : ": ", record_.reason);
}

Result<std::unique_ptr<Lease>> Sandbox::Use() { return MakeLease(Counts::kActivity); }

Result<std::unique_ptr<Lease>> Sandbox::Look() { return MakeLease(Counts::kNothing); }

Result<std::unique_ptr<Lease>> Sandbox::MakeLease(Counts counts) {
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(CheckRunning());
  if (const std::string why = WhyHeldLocked(); !why.empty()) {
    return Fail(Code::kUnavailable, "sandbox '{}' stands still: {}", id_, why);
  }
  return std::make_unique<HeldLease>(shared_from_this(), counts, client_, machine_, record_);
}

Result<store::SandboxRecord> Sandbox::Touch() {
  {
    std::lock_guard lock(mutex_);
    RETURN_IF_ERROR(CheckRunning());
    if (activity_.Touch()) services_.wake_reaper();
  }
  return record();
}

Deadline Sandbox::IdleDeadline() const {
  std::lock_guard lock(mutex_);
  if (record_.state != SandboxState::kRunning || closing_) return Deadline::Never();
  return activity_.IdleDeadline(record_.timeout_sec);
}

// One that has ended since the last look counts once more, so that its results can be fetched.
bool Sandbox::WorksInBackground() {
  if (!IdleDeadline().HasPassed() || !WhyHeld().empty()) return false;
  const auto processes = Agent()->List(Deadline::After(kListLimit));
  const bool runs = processes && std::ranges::any_of(*processes, [](const auto& process) {
                      return process.config.envs.contains(kBackground);
                    });
  if (!background_.exchange(runs) && !runs) return false;
  if (activity_.Touch()) services_.wake_reaper();
  return true;
}

void Sandbox::Interrupt() {
  std::shared_ptr<vmm::Machine> machine;
  {
    std::lock_guard lock(mutex_);
    // A stop that has not begun yet finds this, one that has is found by its state.
    interrupted_ = true;
    if (record_.state == SandboxState::kStarting || record_.state == SandboxState::kResuming ||
        record_.state == SandboxState::kStopping) {
      machine = machine_;
    }
  }
  // Whoever waits for the machine's end sees it; that it is gone is seen to by TearDown().
  if (machine) (void)machine->Kill(Deadline::After(std::chrono::milliseconds(0)));
}

Result<store::SandboxRecord> Sandbox::SetTimeout(int64_t timeout_sec) {
  {
    std::lock_guard lock(mutex_);
    RETURN_IF_ERROR(CheckRunning());
  }
  store::SandboxRecord next = record();
  next.timeout_sec = timeout_sec;
  RETURN_IF_ERROR(services_.store.UpdateSandbox(next, nullptr));
  {
    std::lock_guard lock(mutex_);
    record_ = next;
    activity_.Touch();
  }
  services_.wake_reaper();
  return record();
}

store::EventRecord Sandbox::MakeEvent(const Change& change) const {
  store::EventRecord event;
  event.sandbox_id = id_;
  event.time = std::chrono::system_clock::now();
  event.kind = change.kind;
  event.phase = change.phase;
  event.message = HidePaths(change.reason, services_.config.paths);
  event.details = change.details;
  return event;
}

Status Sandbox::RecordIntent(const Change& change, bool ending) {
  store::SandboxRecord next = record();
  RETURN_IF_ERROR(CheckTransition(id_, next.state, change.state));
  next.state = change.state;
  next.reason = HidePaths(change.reason, services_.config.paths);
  const store::EventRecord event = MakeEvent(change);
  Status stored = services_.store.UpdateSandbox(next, &event);
  // To end a sandbox is what frees space; recovery finds the machine gone if it comes to that.
  if (!stored && !(ending && stored.error().code == Code::kResourceExhausted)) return stored;
  std::lock_guard lock(mutex_);
  record_ = std::move(next);
  return {};
}

Status Sandbox::RecordFact(const Change& change) {
  store::SandboxRecord next = record();
  const Status allowed =
      next.state == change.state ? Status() : CheckTransition(id_, next.state, change.state);
  if (!allowed) services_.Tell(Severity::kError, id_, allowed.error().ToString());
  next.state = change.state;
  next.reason = HidePaths(change.reason, services_.config.paths);
  if (store::IsEnded(next.state) && !next.ended_at) {
    next.ended_at = std::chrono::system_clock::now();
  }
  const store::EventRecord event = MakeEvent(change);
  Status stored = services_.store.UpdateSandbox(next, &event);
  {
    std::lock_guard lock(mutex_);
    record_ = std::move(next);
    unsaved_.reset();
    if (!stored) unsaved_ = event;
  }
  if (!stored) services_.wake_reaper();
  return stored;
}

void Sandbox::Save() {
  std::optional<store::EventRecord> event;
  store::SandboxRecord next;
  {
    std::lock_guard lock(mutex_);
    if (!unsaved_ || removed_) return;
    event = unsaved_;
    next = record_;
  }
  const Status stored = services_.store.UpdateSandbox(next, &*event);
  if (!stored && stored.error().code != Code::kNotFound) return;
  {
    std::lock_guard lock(mutex_);
    if (stored) record_ = std::move(next);
    unsaved_.reset();
  }
  if (!IsLive()) services_.forget(id_);
}

}  // namespace wrenn::sandbox
