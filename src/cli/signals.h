// Signals as something to wait for.
#pragma once

#include <csignal>
#include <functional>
#include <initializer_list>
#include <optional>
#include <thread>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"

namespace wrenn::cli {

// Takes signals off this process (and threads started later) and gives them by a descriptor, as
// long as it lives (signalfd(2)). Signals that come meanwhile do nothing else.
class SignalSource {
 public:
  static Result<SignalSource> Take(std::initializer_list<int> signals);
  SignalSource(SignalSource&& other) noexcept
      : fd_(std::move(other.fd_)), old_(other.old_), armed_(std::exchange(other.armed_, false)) {}
  SignalSource& operator=(SignalSource&&) = delete;
  ~SignalSource();

  int fd() const { return fd_.get(); }  // readable when a signal has come
  // The next signal that has come, if any.
  std::optional<int> Next();

 private:
  explicit SignalSource(UniqueFd fd, const sigset_t& old) : fd_(std::move(fd)), old_(old) {}
  UniqueFd fd_;
  sigset_t old_;
  bool armed_ = true;
};

// Calls `on_signal` from a thread of its own when a signal comes, once, as long as it lives.
class SignalWatch {
 public:
  SignalWatch(SignalSource& signals, UniqueFd stop, std::function<void()> on_signal);
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;
  ~SignalWatch() { Finish(); }

  // Ends the watch; the signal that came, or 0.
  int Finish();

 private:
  SignalSource& signals_;
  UniqueFd stop_;  // an eventfd
  int signal_ = 0;
  std::thread thread_;
};

// Waits until one of two descriptors is readable. True for `fd`, false for `stop`, which goes
// first.
bool WaitUnlessStopped(int fd, int stop);

}  // namespace wrenn::cli
