// ThreadCache: threads that wait for their next task instead of ending.
//
// In a guest under emulation the code that makes and ends a thread is thousands of blocks to
// translate, for each restored machine anew: waking one that waits is a few hundred.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

namespace wrenn {

class ThreadCache {
 public:
  using Task = std::function<void()>;  // must not throw

  // The program's one. Never destroyed: its threads may run until the program's last moment.
  static ThreadCache& Get();

  // Runs the task on a thread that waits, or else on a new one; never later than other tasks.
  // Throws std::system_error when there can be no more threads.
  void Run(Task task);

  // Makes threads until so many wait. Throws as Run() does.
  void Reserve(int threads);

 private:
  // More than that end instead of waiting.
  static constexpr int kMaxIdle = 16;

  void StartThread(Task task);
  void Work(Task task);
  // The next task, or none when this thread is not needed any more.
  Task Wait();

  std::mutex mutex_;
  std::condition_variable changed_;
  int idle_ = 0;            // threads that wait and have not been promised a task
  std::deque<Task> tasks_;  // promised to waiting threads
};

}  // namespace wrenn
