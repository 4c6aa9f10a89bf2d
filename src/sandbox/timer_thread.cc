#include "sandbox/timer_thread.h"

#include <utility>

namespace wrenn::sandbox {

void TimerThread::Start() {
  thread_ = std::thread([this] { Run(); });
}

void TimerThread::Wake() {
  {
    std::lock_guard lock(mutex_);
    woken_ = true;
  }
  changed_.notify_one();
}

void TimerThread::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void TimerThread::Run() {
  std::unique_lock lock(mutex_);
  Deadline next = Deadline::Never();
  while (!stopped_) {
    const auto due = [this] { return woken_ || stopped_; };
    if (next.IsNever()) {
      changed_.wait(lock, due);
    } else {
      changed_.wait_until(lock, next.when(), due);
    }
    if (stopped_) return;
    woken_ = false;
    lock.unlock();
    next = work_();
    lock.lock();
  }
}

}  // namespace wrenn::sandbox
