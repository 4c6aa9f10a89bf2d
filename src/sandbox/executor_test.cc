#include "sandbox/executor.h"

#include <atomic>
#include <thread>

#include <gtest/gtest.h>

#include "sandbox/timer_thread.h"
#include "sandbox/turns.h"

namespace wrenn::sandbox {
namespace {

using std::chrono::milliseconds;

// A pool that is stopped before it goes: a task that is just ending may hold the last reference to
// it.
class StoppedPool {
 public:
  explicit StoppedPool(int threads) : pool_(std::make_shared<WorkerPool>(threads)) {}
  ~StoppedPool() { pool_->Stop(); }
  const std::shared_ptr<WorkerPool>& get() const { return pool_; }
  WorkerPool* operator->() const { return pool_.get(); }

 private:
  const std::shared_ptr<WorkerPool> pool_;
};

TEST(ExecutorTest, RunsTasksOfOneExecutorOneAtATimeInOrder) {
  const StoppedPool pool(4);
  auto executor = std::make_shared<Executor>(pool.get());
  std::atomic<int> inside = 0;
  std::vector<int> order;  // unguarded: the executor is the guard
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(executor->Post([&, i] {
      EXPECT_EQ(++inside, 1);
      order.push_back(i);
      --inside;
    }));
  }
  ASSERT_TRUE(executor->Call([]() -> Status { return {}; }));
  ASSERT_EQ(order.size(), 200u);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
}

TEST(ExecutorTest, ExecutorsDoNotWaitForEachOther) {
  const StoppedPool pool(2);
  auto first = std::make_shared<Executor>(pool.get());
  auto second = std::make_shared<Executor>(pool.get());
  std::promise<void> release;
  auto released = release.get_future();
  first->Post([&] { released.wait(); });
  EXPECT_TRUE(second->Call([]() -> Status { return {}; }));
  release.set_value();
  pool->Stop();
}

TEST(ExecutorTest, CallAnswersValuesErrorsAndExceptions) {
  const StoppedPool pool(1);
  auto executor = std::make_shared<Executor>(pool.get());
  EXPECT_EQ(executor->Call([]() -> Result<int> { return 7; }).value(), 7);
  EXPECT_EQ(executor->Call([]() -> Status { return Fail(Code::kAborted, "no"); }).error().code,
            Code::kAborted);
  const auto thrown = executor->Call([]() -> Status { throw std::runtime_error("bug"); });
  EXPECT_EQ(thrown.error().code, Code::kInternal);
  EXPECT_EQ(thrown.error().detail, "bug");
}

TEST(ExecutorTest, StoppingFinishesWhatWasTakenAndRefusesTheRest) {
  const StoppedPool pool(1);
  auto executor = std::make_shared<Executor>(pool.get());
  std::promise<void> begun;
  std::promise<void> release;
  auto released = release.get_future();
  std::atomic<int> ran = 0;
  executor->Post([&] {
    begun.set_value();
    released.wait();
    ++ran;
  });
  executor->Post([&] { ++ran; });
  begun.get_future().wait();
  std::thread stopper([&] { pool->Stop(); });
  while (pool->Submit([] {})) std::this_thread::yield();
  release.set_value();
  stopper.join();
  EXPECT_EQ(ran, 2);
  EXPECT_FALSE(executor->Post([] {}));
  EXPECT_EQ(executor->Call([]() -> Status { return {}; }).error().code, Code::kUnavailable);
}

TEST(TurnsTest, NoMoreThanTheLimitGoAndAllGoInTheEnd) {
  auto turns = std::make_shared<Turns>(2);
  std::vector<Turns::Turn> held;
  int gone = 0;
  for (int i = 0; i < 5; ++i) {
    turns->Take([&](Turns::Turn turn) {
      ++gone;
      held.push_back(std::move(turn));
    });
  }
  EXPECT_EQ(gone, 2);
  while (!held.empty()) {
    Turns::Turn turn = std::move(held.back());
    held.pop_back();
    turn.reset();
    EXPECT_LE(held.size(), 2u);
  }
  EXPECT_EQ(gone, 5);
}

TEST(TimerThreadTest, CallsWhenDueAndWhenWoken) {
  std::mutex mutex;
  std::condition_variable changed;
  int calls = 0;
  Deadline next = Deadline::After(milliseconds(20));
  TimerThread timer([&] {
    std::lock_guard lock(mutex);
    ++calls;
    changed.notify_all();
    return std::exchange(next, Deadline::Never());
  });
  timer.Wake();  // before it has begun: not kept, for it begins with a call
  EXPECT_EQ(calls, 0);
  timer.Start();
  std::unique_lock lock(mutex);
  // The first comes at once, the second by its deadline, then it sleeps until it is woken.
  ASSERT_TRUE(changed.wait_for(lock, std::chrono::seconds(10), [&] { return calls == 2; }));
  lock.unlock();
  timer.Wake();
  lock.lock();
  ASSERT_TRUE(changed.wait_for(lock, std::chrono::seconds(10), [&] { return calls == 3; }));
  lock.unlock();
  timer.Stop();
}

}  // namespace
}  // namespace wrenn::sandbox
