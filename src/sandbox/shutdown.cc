#include "sandbox/shutdown.h"

#include <future>
#include <memory>
#include <vector>

namespace wrenn::sandbox {

void EndRunning(const Directory& directory, AtShutdown how, Deadline deadline) {
  std::vector<std::future<void>> ending;
  for (const auto& sandbox : directory.Live()) {
    if (sandbox->record().state == store::SandboxState::kPaused) continue;
    auto promise = std::make_shared<std::promise<void>>();
    auto ended = promise->get_future();
    const bool taken = sandbox->executor().Post([sandbox, how, promise] {
      constexpr const char* kReason = "the server was stopped";
      if (how == AtShutdown::kPause) (void)sandbox->Pause(kReason);
      if (how == AtShutdown::kStop) (void)sandbox->Stop(kReason);
      promise->set_value();
    });
    if (taken) ending.push_back(std::move(ended));
  }
  for (const auto& one : ending) (void)one.wait_until(deadline.when());
}

}  // namespace wrenn::sandbox
