#include <sys/resource.h>

#include <algorithm>
#include <cstdio>

#include "net/test_slot_pool.h"

namespace wrenn::net {
namespace {

class SlotScaleTest : public SlotPoolTest {};

// Of this process, the kernel's work for it included, in milliseconds: it does not count what
// others on the machine do meanwhile.
double ProcessorTime() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto milliseconds = [](const timeval& time) {
    return 1e3 * static_cast<double>(time.tv_sec) + 1e-3 * static_cast<double>(time.tv_usec);
  };
  return milliseconds(usage.ru_utime) + milliseconds(usage.ru_stime);
}

// Made and removed in numbers: nothing is left, and the last costs what the first did.
TEST_F(SlotScaleTest, FiveHundredAtOnce) {
  constexpr int kCount = 500;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  options_.ready = 0;
  const Traces before = Count();
  std::vector<double> times;
  {
    const auto pool = Start();
    std::vector<Slot> slots;
    for (int i = 0; i < kCount; ++i) {
      const double begin = ProcessorTime();
      auto slot = pool->Claim({.internet = true});
      times.push_back(ProcessorTime() - begin);
      ASSERT_TRUE(slot) << i << ": " << slot.error().ToString();
      slots.push_back(std::move(*slot));
    }
    const Traces all = Count();
    EXPECT_EQ(all.mounts, 500U);
    EXPECT_EQ(all.devices, 500U);
    EXPECT_EQ(all.rules, 1000U);
    // The last one works as the first does.
    const Listener server(world_.internet(), 80);
    for (Slot* slot : {&slots.front(), &slots.back()}) {
      const TestGuest guest(*slot);
      EXPECT_EQ(guest.Try(kServer), Outcome::kConnected);
    }
    for (Slot& slot : slots) pool->Release(std::move(slot));
    slots.clear();
    ASSERT_TRUE(pool->WaitIdle(Deadline::After(std::chrono::minutes(5))));
  }
  const auto median = [](std::vector<double> part) {
    std::ranges::sort(part);
    return part[part.size() / 2];
  };
  const double first = median({times.begin(), times.begin() + 50});
  const double last = median({times.end() - 50, times.end()});
  std::printf("processor time: first 50 %.2f ms each, last 50 %.2f ms\n", first, last);
  EXPECT_LT(last, 2 * first);
  EXPECT_EQ(Count(), before);
}

}  // namespace
}  // namespace wrenn::net
