#include "cli/signal_sender.h"

#include "cli/terminal.h"

namespace wrenn::cli {

SignalSender::~SignalSender() {
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
    if (sending_) sending_->Interrupt();
    changed_.notify_one();
  }
  thread_.join();
}

void SignalSender::Send(wire::Signal signal) {
  std::lock_guard lock(mutex_);
  waiting_.push_back(signal);
  changed_.notify_one();
}

void SignalSender::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ended_ || !waiting_.empty(); });
    if (ended_) return;
    const wire::Signal signal = waiting_.front();
    waiting_.pop_front();
    // A new one each time, since it keeps the connections that it was given.
    const auto interrupter = sending_ = std::make_shared<Interrupter>();
    lock.unlock();
    const Status sent = process_.Signal(signal, interrupter);
    lock.lock();
    if (!sent && !ended_) PrintError(sent.error().WithContext("cannot pass the signal on"));
  }
}

}  // namespace wrenn::cli
