// Executor: runs the tasks of one sandbox one at a time, in the order in which they came.
#pragma once

#include <deque>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <type_traits>
#include <utility>

#include "base/result.h"
#include "sandbox/worker_pool.h"

namespace wrenn::sandbox {

// Uses at most one thread of the pool at a time, and none while it has nothing to do.
class Executor : public std::enable_shared_from_this<Executor> {
 public:
  explicit Executor(std::shared_ptr<WorkerPool> pool) : pool_(std::move(pool)) {}

  // Takes a task, from any thread. False when the pool has been stopped: it will not run. A task
  // that was taken runs whatever becomes of the one who posted it.
  bool Post(WorkerPool::Task task);

  // Whether something waits for the task in progress; for tasks that give way.
  bool HasWaiting();

  // Posts `work` (which answers a Status or Result<T>) and waits for its answer. kUnavailable when
  // the pool has been stopped. Not from a task of the same executor.
  template <typename Work>
  auto Call(Work work) -> std::invoke_result_t<Work&> {
    using Answer = std::invoke_result_t<Work&>;
    auto promise = std::make_shared<std::promise<Answer>>();
    auto answer = promise->get_future();
    if (!Post([promise, work = std::move(work)]() mutable { promise->set_value(Guard(work)); })) {
      return Fail(Code::kUnavailable, "the server is shutting down");
    }
    return answer.get();
  }

 private:
  template <typename Work>
  static auto Guard(Work& work) -> std::invoke_result_t<Work&> {
    try {
      return work();
    } catch (const std::exception& exception) {
      return Fail(Error{Code::kInternal, "internal error", exception.what()});
    }
  }

  void RunOne();

  const std::shared_ptr<WorkerPool> pool_;
  std::mutex mutex_;
  std::deque<WorkerPool::Task> tasks_;
  bool active_ = false;  // a RunOne() is under way or submitted
};

}  // namespace wrenn::sandbox
