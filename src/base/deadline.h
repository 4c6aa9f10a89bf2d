// Deadline: the one type for every time limit.
#pragma once

#include <chrono>

namespace wrenn {

// A point on the monotonic clock by which something must be done, or never.
class Deadline {
 public:
  using Clock = std::chrono::steady_clock;
  using Duration = std::chrono::milliseconds;

  static Deadline Never() { return Deadline(Clock::time_point::max()); }
  static Deadline At(Clock::time_point when) { return Deadline(when); }
  static Deadline After(Duration delay) { return Deadline(Clock::now() + delay); }

  bool IsNever() const { return when_ == Clock::time_point::max(); }
  bool HasPassed() const { return !IsNever() && Clock::now() >= when_; }
  Clock::time_point when() const { return when_; }

  // The time left in whole milliseconds, rounded up, at least 0; -1 for never: what poll(2) takes.
  int PollTimeout() const {
    if (IsNever()) return -1;
    const auto left = std::chrono::ceil<Duration>(when_ - Clock::now()).count();
    if (left <= 0) return 0;
    constexpr long kMaxMs = 24L * 3600 * 1000;  // poll takes an int; a day at a time is enough
    return static_cast<int>(left < kMaxMs ? left : kMaxMs);
  }

  // The earlier of the two.
  static Deadline Earlier(Deadline a, Deadline b) { return a.when_ < b.when_ ? a : b; }

 private:
  explicit Deadline(Clock::time_point when) : when_(when) {}
  Clock::time_point when_;
};

}  // namespace wrenn
