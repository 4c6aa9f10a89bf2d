#include <array>
#include <utility>

#include "store/store.h"

namespace wrenn::store {
namespace {

constexpr std::array<std::pair<SandboxState, std::string_view>, 8> kStateNames = {{
    {SandboxState::kStarting, "starting"},
    {SandboxState::kRunning, "running"},
    {SandboxState::kPausing, "pausing"},
    {SandboxState::kPaused, "paused"},
    {SandboxState::kResuming, "resuming"},
    {SandboxState::kStopping, "stopping"},
    {SandboxState::kStopped, "stopped"},
    {SandboxState::kError, "error"},
}};

}  // namespace

std::string_view StateName(SandboxState state) {
  return kStateNames[static_cast<size_t>(state)].second;
}

Result<SandboxState> ParseState(std::string_view name) {
  for (const auto& [state, known] : kStateNames) {
    if (known == name) return state;
  }
  return Fail(Code::kInvalidArgument, "unknown sandbox state '{}'", name);
}

bool IsEnded(SandboxState state) {
  return state == SandboxState::kStopped || state == SandboxState::kError;
}

}  // namespace wrenn::store
