// Reaper: the one place of a program that waits for children.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <optional>

#include "base/io.h"

namespace wrenn::guest {

// How a child ended.
struct ChildExit {
  bool signaled = false;
  int value = 0;  // exit code, or the signal that ended it
};

// One child that was started by us.
class Child {
 public:
  explicit Child(UniqueFd exit_event) : exit_event_(std::move(exit_event)) {}

  pid_t pid() const { return pid_; }
  // Where clone(2) stores the pid (CLONE_PARENT_SETTID) before the child runs its first
  // instruction: so the reaper knows the child even while the thread that starts it is still
  // suspended by vfork.
  pid_t* pid_slot() { return &pid_; }

  // Readable from the child's end on.
  int exit_event() const { return exit_event_.get(); }

 private:
  friend class Reaper;
  pid_t pid_ = 0;
  UniqueFd exit_event_;
  std::optional<ChildExit> exit_;
};

// Waits for all children on a thread of its own, ours and orphans that fell to this process. There
// is one in a program, since waitid(P_ALL) is for all of it, and it lives as long as the program.
class Reaper {
 public:
  static Reaper& Get();

  // A child about to be started. It must be started, or forgotten, before it is dropped.
  Result<std::shared_ptr<Child>> Expect();
  // It runs now.
  void Started();
  // It was not started.
  void Forget(const std::shared_ptr<Child>& child);

  std::optional<ChildExit> ExitOf(const Child& child);

  // kill(2) on the child, or on the group that it leads; kNotFound when it has ended. Never reaches
  // another process that got the same pid.
  Status Signal(const Child& child, int signal, bool group);

  // How many orphans were reaped; for whoever cleans up behind them.
  uint64_t orphans() const { return orphans_; }

  // Waits until there is no child at all. False when the deadline passed first.
  bool WaitForNoChildren(Deadline deadline);

 private:
  Reaper();
  void Loop();
  void WaitForAChild();
  void Reap(pid_t pid);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<std::shared_ptr<Child>> children_;
  bool idle_ = false;     // the thread has seen that there are no children
  bool started_ = false;  // a child was started since
  std::atomic<uint64_t> orphans_ = 0;
};

}  // namespace wrenn::guest
