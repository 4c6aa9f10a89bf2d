// WakeBudget: how often output may wake us. A guest that floods its console (a byte a wake-up, if
// it likes) must cost little: what is not read in time waits, and then holds the guest up.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/deadline.h"

namespace wrenn::vmm {

class WakeBudget {
 public:
  // For who has none left, before the next try.
  static constexpr int kQuietMs = 20;

  // Takes one wake-up; false when there is none left for now.
  bool Take() {
    const auto now = Deadline::Clock::now();
    const auto earned = (now - last_) / kEvery;
    if (earned > 0) {
      left_ = std::min<int64_t>(kMost, left_ + earned);
      last_ = now;
    }
    if (left_ == 0) return false;
    --left_;
    return true;
  }

 private:
  static constexpr int64_t kMost = 2000;
  static constexpr std::chrono::milliseconds kEvery{5};
  int64_t left_ = kMost;
  Deadline::Clock::time_point last_ = Deadline::Clock::now();
};

}  // namespace wrenn::vmm
