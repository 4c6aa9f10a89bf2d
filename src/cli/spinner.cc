#include "cli/spinner.h"

#include <chrono>

namespace wrenn::cli {

Spinner::Spinner(std::string what) : what_(std::move(what)) {
  // Elsewhere each line would stay.
  if (line_.on_terminal()) thread_ = std::thread([this] { Run(); });
}

void Spinner::Clear() {
  std::lock_guard lock(mutex_);
  line_.Clear();
}

void Spinner::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
  line_.Clear();
}

void Spinner::Run() {
  constexpr std::chrono::seconds kTick{1};
  std::unique_lock lock(mutex_);
  for (int seconds = 1; !changed_.wait_for(lock, kTick, [this] { return stopped_; }); ++seconds) {
    line_.Show(fmt::format("{} ({} s)", what_, seconds));
  }
}

}  // namespace wrenn::cli
