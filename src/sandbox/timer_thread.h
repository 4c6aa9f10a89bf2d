// TimerThread: calls a function when it is due, and sleeps in between.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "base/deadline.h"

namespace wrenn::sandbox {

class TimerThread {
 public:
  // `work` does what is due and answers when it wants to be called again.
  explicit TimerThread(std::function<Deadline()> work) : work_(std::move(work)) {}
  ~TimerThread() { Stop(); }

  // Begins, with a call at once.
  void Start();
  // Calls `work` now, if it has begun. From any thread, also from within `work`.
  void Wake();
  // Ends the thread; waits for a call in progress. Not from within `work`.
  void Stop();

 private:
  void Run();

  const std::function<Deadline()> work_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = true;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace wrenn::sandbox
