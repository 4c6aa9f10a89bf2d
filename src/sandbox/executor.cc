#include "sandbox/executor.h"

namespace wrenn::sandbox {

bool Executor::Post(WorkerPool::Task task) {
  std::lock_guard lock(mutex_);
  if (!active_) {
    // Submit() only queues: RunOne() waits for this lock.
    if (!pool_->Submit([self = shared_from_this()] { self->RunOne(); })) return false;
    active_ = true;
  }
  tasks_.push_back(std::move(task));
  return true;
}

bool Executor::HasWaiting() {
  std::lock_guard lock(mutex_);
  return !tasks_.empty();
}

void Executor::RunOne() {
  for (;;) {
    WorkerPool::Task task;
    {
      std::lock_guard lock(mutex_);
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
    task = nullptr;
    {
      std::lock_guard lock(mutex_);
      if (tasks_.empty()) {
        active_ = false;
        return;
      }
    }
    // Others get the thread in between; a pool that is being stopped takes nothing more, and then
    // what was taken is finished here.
    if (pool_->Submit([self = shared_from_this()] { self->RunOne(); })) return;
  }
}

}  // namespace wrenn::sandbox
