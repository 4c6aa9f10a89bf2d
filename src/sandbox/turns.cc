#include "sandbox/turns.h"

#include <utility>

namespace wrenn::sandbox {

Turns::Turn Turns::MakeTurn() {
  return Turn(this, [self = shared_from_this()](void*) { self->GiveBack(); });
}

void Turns::Take(std::function<void(Turn)> go) {
  {
    std::lock_guard lock(mutex_);
    if (limit_ > 0 && out_ >= limit_) {
      waiting_.push_back(std::move(go));
      return;
    }
    ++out_;
  }
  go(MakeTurn());
}

void Turns::GiveBack() {
  std::function<void(Turn)> next;
  {
    std::lock_guard lock(mutex_);
    if (waiting_.empty()) {
      --out_;
      return;
    }
    next = std::move(waiting_.front());
    waiting_.pop_front();
  }
  next(MakeTurn());
}

}  // namespace wrenn::sandbox
