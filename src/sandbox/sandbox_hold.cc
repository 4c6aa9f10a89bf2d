// What happens around a machine that its engine holds, because the host's disk is full: nothing is
// lost, and the guest waits.
#include "sandbox/init_request.h"
#include "sandbox/sandbox.h"

namespace wrenn::sandbox {
namespace {

// For the agent to set the clock.
constexpr std::chrono::seconds kClockLimit{10};
constexpr std::chrono::milliseconds kClockLag{200};
constexpr int kClockTries = 5;
constexpr const char* kNoRoom =
    "the host's disk is almost full; it goes on by itself as soon as there is room";

}  // namespace

std::string Sandbox::WhyHeld() const {
  std::lock_guard lock(mutex_);
  return WhyHeldLocked();
}

std::string Sandbox::WhyHeldLocked() const {
  if (share_.IsHeld()) return kNoRoom;
  return machine_ ? machine_->Held() : "";
}

bool Sandbox::HoldDisk(bool hold) {
  if (share_.IsHeld() == hold) {
    hold_failed_ = false;
    return true;
  }
  if (Status done = share_.HoldDisk(hold); !done) {
    // It is tried again soon and often.
    if (!hold_failed_.exchange(true)) {
      services_.Tell(Severity::kError, id_, "its disk could not be held, or let go on",
                     {{"error", done.error().ToString()}});
    }
    return false;
  }
  hold_failed_ = false;
  if (share_.IsHeld() == hold) {
    services_.Tell(Severity::kWarning, id_,
                   hold ? std::string("it stands still: ") + kNoRoom : "it goes on");
  }
  return true;
}

store::SandboxRecord Sandbox::View() const {
  store::SandboxRecord view = record();
  if (view.state != store::SandboxState::kRunning) return view;
  if (const std::string why = WhyHeld(); !why.empty()) view.reason = "it stands still: " + why;
  return view;
}

void Sandbox::HandleHold(const std::string& why) {
  if (!why.empty()) {
    services_.Tell(Severity::kWarning, id_, "it stands still: " + why);
    return;
  }
  if (state() != store::SandboxState::kRunning) return;
  // The guest's clock has stood still too, and is behind by what it takes the guest to hear of the
  // time: one that has much to catch up with is told again.
  json::object details;
  for (int i = 0; i < kClockTries; ++i) {
    const auto asked = Deadline::Clock::now();
    const auto set = Agent()->Init(MakeClockRequest(record()), Deadline::After(kClockLimit));
    if (!set) details["clock_error"] = set.error().ToString();
    if (!set || Deadline::Clock::now() - asked < kClockLag) break;
  }
  services_.Tell(Severity::kWarning, id_, "it goes on", std::move(details));
}

}  // namespace wrenn::sandbox
