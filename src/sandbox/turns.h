// Turns: lets a limited number go at the same time, first come, first served, without holding
// threads.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>

namespace wrenn::sandbox {

class Turns : public std::enable_shared_from_this<Turns> {
 public:
  // Held by who has its turn; dropping the last reference gives it to the next.
  using Turn = std::shared_ptr<void>;

  // 0: no limit.
  explicit Turns(int limit) : limit_(limit) {}

  // Calls `go` when it is its turn: at once on this thread, or later on the thread that gave a turn
  // back. It must not block.
  void Take(std::function<void(Turn)> go);

 private:
  Turn MakeTurn();
  void GiveBack();

  std::mutex mutex_;
  std::deque<std::function<void(Turn)>> waiting_;
  const int limit_;
  int out_ = 0;
};

}  // namespace wrenn::sandbox
