#include "vmm/tsc.h"

#include <time.h>
#include <x86intrin.h>

#include <cmath>

namespace wrenn::vmm {
namespace {

struct Sample {
  uint64_t tsc = 0;
  int64_t nanoseconds = 0;
};

int64_t Now() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

// Both clocks at one moment: the best of many tries, since an interruption between the two reads
// would be taken for a different rate.
Sample Take() {
  Sample best;
  uint64_t best_width = UINT64_MAX;
  for (int i = 0; i < 200; ++i) {
    const uint64_t before = __rdtsc();
    const int64_t now = Now();
    const uint64_t width = __rdtsc() - before;
    if (width < best_width) {
      best_width = width;
      best = {before + width / 2, now};
    }
  }
  return best;
}

uint32_t Measure() {
  const Sample begin = Take();
  const timespec pause{0, 60'000'000};
  ::nanosleep(&pause, nullptr);
  const Sample end = Take();
  const double ticks = static_cast<double>(end.tsc - begin.tsc);
  const double milliseconds = static_cast<double>(end.nanoseconds - begin.nanoseconds) / 1e6;
  return static_cast<uint32_t>(std::lround(ticks / milliseconds));
}

}  // namespace

uint32_t HostTscKhz() {
  static const uint32_t khz = Measure();
  return khz;
}

}  // namespace wrenn::vmm
