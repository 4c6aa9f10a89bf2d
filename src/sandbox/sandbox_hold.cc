// What happens around a machine that its engine holds, because the host's disk is full: nothing is
// lost, and the guest waits.
#include "sandbox/init_request.h"
#include "sandbox/sandbox.h"

namespace wrenn::sandbox {
namespace {

// For the agent to set the clock.
constexpr std::chrono::seconds kClockLimit{10};

}  // namespace

std::string Sandbox::WhyHeld() const {
  const std::shared_ptr<vmm::Machine> machine = Machine();
  return machine ? machine->Held() : "";
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
  // The guest's clock has stood still too.
  const auto set = Agent()->Init(MakeClockRequest(record()), Deadline::After(kClockLimit));
  json::object details;
  if (!set) details["clock_error"] = set.error().ToString();
  services_.Tell(Severity::kWarning, id_, "it goes on", std::move(details));
}

}  // namespace wrenn::sandbox
