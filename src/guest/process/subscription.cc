#include "guest/process/subscription.h"

namespace wrenn::guest {

Result<std::shared_ptr<Subscription>> Subscription::Make() {
  ASSIGN_OR_RETURN(UniqueFd event, MakeEventFd());
  return std::make_shared<Subscription>(std::move(event));
}

Subscription::Taken Subscription::Take() {
  std::lock_guard lock(mutex_);
  if (messages_.empty()) {
    DrainEventFd(event_.get());
    return {nullptr, ended_};
  }
  Taken taken{std::move(messages_.front()), false};
  messages_.pop_front();
  room_.notify_all();
  return taken;
}

void Subscription::Cancel() {
  std::lock_guard lock(mutex_);
  cancelled_ = true;
  messages_.clear();
  room_.notify_all();
}

bool Subscription::cancelled() {
  std::lock_guard lock(mutex_);
  return cancelled_;
}

bool Subscription::WaitForRoom(Deadline deadline) {
  std::unique_lock lock(mutex_);
  const auto ready = [this] { return cancelled_ || messages_.size() < kMaxMessages; };
  if (deadline.IsNever()) {
    room_.wait(lock, ready);
    return true;
  }
  return room_.wait_until(lock, deadline.when(), ready);
}

void Subscription::Push(Message message) {
  std::lock_guard lock(mutex_);
  if (cancelled_) return;
  messages_.push_back(std::move(message));
  SignalEventFd(event_.get());
}

void Subscription::End(Message message) {
  std::lock_guard lock(mutex_);
  ended_ = true;
  messages_.push_back(std::move(message));
  SignalEventFd(event_.get());
}

}  // namespace wrenn::guest
