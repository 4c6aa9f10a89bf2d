// Subscription: what one reader of a process's events has still to take.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "base/io.h"

namespace wrenn::guest {

// A bounded queue of envelopes from one process to one reader. Only the process's own thread
// pushes.
class Subscription {
 public:
  using Message = std::shared_ptr<const std::string>;

  static Result<std::shared_ptr<Subscription>> Make();

  explicit Subscription(UniqueFd event) : event_(std::move(event)) {}

  // Readable when Take() has something to say; reset by Take().
  int event() const { return event_.get(); }

  // The next envelope, or null when there is none now; then `ended` says that none will come.
  struct Taken {
    Message message;
    bool ended = false;
  };
  Taken Take();

  // The reader's last word: everything pushed from now on is dropped.
  void Cancel();

  // Waits for room, until the deadline. False when the deadline passed.
  bool WaitForRoom(Deadline deadline);
  void Push(Message message);
  // Pushes the last one.
  void End(Message message);
  bool cancelled();

 private:
  // Enough to keep a reader busy while the process's thread reads on.
  static constexpr size_t kMaxMessages = 8;

  UniqueFd event_;
  std::mutex mutex_;
  std::condition_variable room_;
  std::deque<Message> messages_;
  bool ended_ = false;
  bool cancelled_ = false;
};

}  // namespace wrenn::guest
