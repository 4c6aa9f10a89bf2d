#include "base/thread_cache.h"

#include <thread>
#include <utility>

namespace wrenn {

ThreadCache& ThreadCache::Get() {
  static auto* const cache = new ThreadCache();
  return *cache;
}

void ThreadCache::Run(Task task) {
  {
    std::lock_guard lock(mutex_);
    if (idle_ > 0) {
      tasks_.push_back(std::move(task));
      --idle_;
      changed_.notify_one();
      return;
    }
  }
  StartThread(std::move(task));
}

void ThreadCache::Reserve(int threads) {
  int missing = 0;
  {
    std::lock_guard lock(mutex_);
    missing = threads - idle_;
  }
  for (; missing > 0; --missing) StartThread([] {});
}

void ThreadCache::StartThread(Task task) {
  std::thread([this, first = std::move(task)]() mutable { Work(std::move(first)); }).detach();
}

void ThreadCache::Work(Task task) {
  while (task) {
    task();
    task = nullptr;  // what it holds is not held while we wait
    task = Wait();
  }
}

ThreadCache::Task ThreadCache::Wait() {
  std::unique_lock lock(mutex_);
  if (idle_ >= kMaxIdle) return nullptr;
  ++idle_;
  changed_.wait(lock, [this] { return !tasks_.empty(); });
  Task task = std::move(tasks_.front());
  tasks_.pop_front();
  return task;
}

}  // namespace wrenn
