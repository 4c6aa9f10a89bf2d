#include "sandbox/state.h"

#include <algorithm>
#include <array>

namespace wrenn::sandbox {
namespace {

using enum store::SandboxState;

struct Transition {
  store::SandboxState from;
  store::SandboxState to;
};

constexpr std::array<Transition, 18> kTransitions = {{
    {kStarting, kRunning},   // the agent has answered
    {kStarting, kStopping},  // removed while it could not be undone
    {kStarting, kError},     // the server ended in the middle, or the undoing failed
    {kRunning, kStopping},   // asked to, or idle
    {kRunning, kStopped},    // the guest shut down by itself
    {kRunning, kError},      // the machine ended by itself
    {kRunning, kPausing},    // asked to, or idle
    {kPausing, kPaused},     // its snapshot is there
    {kPausing, kRunning},    // it failed, and the machine goes on
    {kPausing, kStopped},    // the guest shut down meanwhile
    {kPausing, kError},      // the machine ended meanwhile
    {kPaused, kResuming},
    {kPaused, kStopping},   // asked to
    {kResuming, kRunning},  // the agent has answered
    {kResuming, kPaused},   // it failed: as it was
    {kStopping, kStopped},
    {kStopping, kError},  // the machine could not be ended
    {kError, kStopping},  // a second try to end what could not be ended
}};

}  // namespace

bool MayFollow(store::SandboxState from, store::SandboxState to) {
  return std::ranges::any_of(
      kTransitions, [&](const Transition& row) { return row.from == from && row.to == to; });
}

Status CheckTransition(const std::string& id, store::SandboxState from, store::SandboxState to) {
  if (MayFollow(from, to)) return {};
  return Fail(Code::kInternal, "sandbox '{}' cannot go from {} to {}", id, store::StateName(from),
              store::StateName(to));
}

}  // namespace wrenn::sandbox
