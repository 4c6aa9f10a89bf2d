// Revert: undo steps of a set-up with several parts, run in reverse unless disarmed.
#pragma once

#include <functional>
#include <utility>
#include <vector>

namespace wrenn {

//   Revert revert;
//   ASSIGN_OR_RETURN(auto disk, MakeDisk());
//   revert.Add([&] { disk.Remove(); });
//   RETURN_IF_ERROR(StartMachine());   // on failure the disk is removed
//   revert.Disarm();
class Revert {
 public:
  Revert() = default;
  Revert(const Revert&) = delete;
  Revert& operator=(const Revert&) = delete;
  ~Revert() {
    for (; !steps_.empty(); steps_.pop_back()) steps_.back()();
  }

  // Adds an undo step. It must not throw; what it cannot undo it reports itself.
  void Add(std::function<void()> step) { steps_.push_back(std::move(step)); }
  void Disarm() { steps_.clear(); }

 private:
  std::vector<std::function<void()>> steps_;
};

}  // namespace wrenn
