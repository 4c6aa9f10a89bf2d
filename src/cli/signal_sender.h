// SignalSender: passes signals to a program in a sandbox, from a thread of its own.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "cli/guest_process.h"

namespace wrenn::cli {

// A signal's way to the guest takes a while, or for ever when the server hangs: who reads signals
// here must not wait for it. The process must outlive it.
class SignalSender {
 public:
  explicit SignalSender(const GuestProcess& process)
      : process_(process), thread_([this] { Run(); }) {}
  SignalSender(const SignalSender&) = delete;
  SignalSender& operator=(const SignalSender&) = delete;
  // Breaks off what is on its way; what has not been sent is dropped.
  ~SignalSender();

  // Sends them in order. One that cannot be passed on is said on stderr.
  void Send(wire::Signal signal);

 private:
  void Run();

  const GuestProcess& process_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<wire::Signal> waiting_;
  std::shared_ptr<Interrupter> sending_;  // controls the call that goes on
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace wrenn::cli
