// WorkerPool: a fixed number of threads for blocking work.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace wrenn::sandbox {

// Stop() it before the last reference goes: that may be a task's.
class WorkerPool {
 public:
  using Task = std::function<void()>;  // must not throw

  explicit WorkerPool(int threads);
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  ~WorkerPool() { Stop(); }

  // False when the pool has been stopped: the task was not taken.
  bool Submit(Task task);

  // Refuses new tasks, finishes those that were taken, and ends the threads. Not from a task.
  void Stop();

 private:
  void Work();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> tasks_;
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace wrenn::sandbox
