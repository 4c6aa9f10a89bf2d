// Activity: when a sandbox was last used, and whether it is in use now.
#pragma once

#include <mutex>
#include <optional>
#include <utility>

#include "base/deadline.h"
#include "store/store.h"

namespace wrenn::sandbox {

// Thread-safe. Idle time is measured on the monotonic clock; the wall clock is only for show. Calls
// that note activity answer whether there is now something to store where there was nothing before.
class Activity {
 public:
  bool Touch() {
    std::lock_guard lock(mutex_);
    return Note();
  }
  bool Begin() {
    std::lock_guard lock(mutex_);
    ++users_;
    return Note();
  }
  bool End() {
    std::lock_guard lock(mutex_);
    --users_;
    return Note();
  }

  // When it may have been idle for `timeout_sec`: look again then. It is idle if that has passed.
  // Never for 0. While it is in use the answer is what it would be if the last user went now, so
  // that nobody need be told when that happens.
  Deadline IdleDeadline(int64_t timeout_sec) const {
    std::lock_guard lock(mutex_);
    if (timeout_sec <= 0) return Deadline::Never();
    const auto since = users_ > 0 ? Deadline::Clock::now() : last_;
    return Deadline::At(since + std::chrono::seconds(timeout_sec));
  }

  store::Time last() const {
    std::lock_guard lock(mutex_);
    return last_shown_;
  }

  bool HasUnsaved() const {
    std::lock_guard lock(mutex_);
    return unsaved_;
  }
  // When it was last used, if that has not been taken yet.
  std::optional<store::Time> TakeUnsaved() {
    std::lock_guard lock(mutex_);
    if (!unsaved_) return std::nullopt;
    unsaved_ = false;
    return last_shown_;
  }

 private:
  bool Note() {
    last_ = Deadline::Clock::now();
    last_shown_ = std::chrono::system_clock::now();
    return !std::exchange(unsaved_, true);
  }

  mutable std::mutex mutex_;
  int users_ = 0;
  Deadline::Clock::time_point last_ = Deadline::Clock::now();
  store::Time last_shown_ = std::chrono::system_clock::now();
  bool unsaved_ = false;
};

}  // namespace wrenn::sandbox
