// ExitSignal: lets a transition wait for its machine's end.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>

#include "base/deadline.h"
#include "vmm/machine.h"

namespace wrenn::sandbox {

// How long after its channel has broken a machine's end may be noticed.
inline constexpr std::chrono::milliseconds kExitLag{2'000};

// Thread-safe.
class ExitSignal {
 public:
  void Set(const vmm::MachineExit& exit) {
    {
      std::lock_guard lock(mutex_);
      exit_ = exit;
    }
    changed_.notify_all();
  }

  std::optional<vmm::MachineExit> Get() const {
    std::lock_guard lock(mutex_);
    return exit_;
  }

  // The end, or nothing when the deadline passed first.
  std::optional<vmm::MachineExit> Wait(Deadline deadline) const {
    std::unique_lock lock(mutex_);
    const auto ended = [this] { return exit_.has_value(); };
    if (deadline.IsNever()) {
      changed_.wait(lock, ended);
    } else {
      changed_.wait_until(lock, deadline.when(), ended);
    }
    return exit_;
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::optional<vmm::MachineExit> exit_;
};

}  // namespace wrenn::sandbox
