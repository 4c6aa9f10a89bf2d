#include "base/thread_cache.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <latch>
#include <memory>
#include <set>
#include <thread>

namespace wrenn {
namespace {

pid_t RunAndTell(ThreadCache& cache) {
  std::promise<pid_t> told;
  cache.Run([&] { told.set_value(::gettid()); });
  return told.get_future().get();
}

TEST(ThreadCacheTest, AThreadThatWaitsTakesTheNextTask) {
  ThreadCache& cache = *new ThreadCache();  // its threads outlive this test
  std::set<pid_t> seen;
  for (int i = 0; i < 200; ++i) seen.insert(RunAndTell(cache));
  // A task may come before the thread of the last one waits: that makes a second or third one.
  EXPECT_LT(seen.size(), 20U);
}

TEST(ThreadCacheTest, TasksRunAtTheSameTimeHoweverMany) {
  ThreadCache& cache = *new ThreadCache();
  cache.Reserve(3);
  constexpr int kTasks = 40;
  const auto all = std::make_shared<std::latch>(kTasks);
  std::atomic<int> done = 0;
  for (int i = 0; i < kTasks; ++i) {
    cache.Run([all, &done] {
      all->arrive_and_wait();  // would hang if one waited for another's end
      ++done;
    });
  }
  while (done < kTasks) std::this_thread::yield();
}

TEST(ThreadCacheTest, ATaskIsForgottenWhenItHasRun) {
  ThreadCache& cache = *new ThreadCache();
  auto held = std::make_shared<int>(1);
  const std::weak_ptr<int> weak = held;
  cache.Run([held = std::move(held)] {});
  while (!weak.expired()) std::this_thread::yield();
}

}  // namespace
}  // namespace wrenn
