// Gate: counts work in progress, so that an owner can refuse new work and wait for the old.
#pragma once

#include <condition_variable>
#include <mutex>
#include <utility>

#include "base/deadline.h"

namespace wrenn {

class Gate {
 public:
  // Holds the gate open for one piece of work.
  class Pass {
   public:
    Pass() = default;
    Pass(Pass&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
    Pass& operator=(Pass&& other) noexcept {
      std::swap(gate_, other.gate_);
      return *this;
    }
    ~Pass() {
      if (gate_) gate_->Leave();
    }
    explicit operator bool() const { return gate_ != nullptr; }

   private:
    friend class Gate;
    explicit Pass(Gate* gate) : gate_(gate) {}
    Gate* gate_ = nullptr;
  };

  // A pass, or an empty one when the gate is closed.
  Pass Enter() {
    std::lock_guard lock(mutex_);
    if (closed_) return Pass();
    ++inside_;
    return Pass(this);
  }

  // Refuses new work from now on.
  void Close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
  }

  // Waits until nobody is inside. False when the deadline passed first.
  bool WaitEmpty(Deadline deadline) {
    std::unique_lock lock(mutex_);
    const auto empty = [this] { return inside_ == 0; };
    if (deadline.IsNever()) {
      left_.wait(lock, empty);
      return true;
    }
    return left_.wait_until(lock, deadline.when(), empty);
  }

 private:
  void Leave() {
    std::lock_guard lock(mutex_);
    if (--inside_ == 0) left_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable left_;
  int inside_ = 0;
  bool closed_ = false;
};

}  // namespace wrenn
