#include "guest/init/reaper.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>

namespace wrenn::guest {
namespace {

// Written by the kernel from another thread's clone(2), so read as an atomic.
pid_t LoadPid(Child& child) {
  return std::atomic_ref<pid_t>(*child.pid_slot()).load(std::memory_order_acquire);
}

}  // namespace

Reaper& Reaper::Get() {
  static Reaper* const reaper = new Reaper();  // never destroyed: its thread has no end
  return *reaper;
}

Reaper::Reaper() {
  std::thread([this] { Loop(); }).detach();
}

Result<std::shared_ptr<Child>> Reaper::Expect() {
  ASSIGN_OR_RETURN(UniqueFd event, MakeEventFd());
  auto child = std::make_shared<Child>(std::move(event));
  std::lock_guard lock(mutex_);
  children_.push_back(child);
  return child;
}

void Reaper::Started() {
  std::lock_guard lock(mutex_);
  started_ = true;
  idle_ = false;
  changed_.notify_all();
}

void Reaper::Forget(const std::shared_ptr<Child>& child) {
  std::lock_guard lock(mutex_);
  children_.remove(child);
}

std::optional<ChildExit> Reaper::ExitOf(const Child& child) {
  std::lock_guard lock(mutex_);
  return child.exit_;
}

Status Reaper::Signal(const Child& child, int signal, bool group) {
  // A child's pid is reaped, and so given back, under the same lock.
  std::lock_guard lock(mutex_);
  if (child.exit_ || child.pid_ <= 0) {
    return Fail(Code::kNotFound, "the process has ended");
  }
  if (::kill(group ? -child.pid_ : child.pid_, signal) < 0) {
    return Fail(ErrnoError("cannot signal the process"));
  }
  return {};
}

bool Reaper::WaitForNoChildren(Deadline deadline) {
  std::unique_lock lock(mutex_);
  const auto none = [this] { return idle_; };
  if (deadline.IsNever()) {
    changed_.wait(lock, none);
    return true;
  }
  return changed_.wait_until(lock, deadline.when(), none);
}

void Reaper::Loop() {
  for (;;) {
    siginfo_t info{};
    // WNOWAIT: the pid stays taken until Reap() has found its owner.
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOWAIT) == 0) {
      Reap(info.si_pid);
    } else if (errno == ECHILD) {
      WaitForAChild();
    }
  }
}

void Reaper::WaitForAChild() {
  std::unique_lock lock(mutex_);
  // A child may have been started after waitid() looked: then look again.
  if (!started_) {
    idle_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return started_; });
  }
  started_ = false;
}

void Reaper::Reap(pid_t pid) {
  std::lock_guard lock(mutex_);
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED) < 0) return;
  const auto owned =
      std::ranges::find_if(children_, [&](auto& child) { return LoadPid(*child) == pid; });
  if (owned == children_.end()) {
    ++orphans_;
    return;
  }
  (*owned)->exit_ = ChildExit{info.si_code != CLD_EXITED, info.si_status};
  SignalEventFd((*owned)->exit_event());
  children_.erase(owned);
}

}  // namespace wrenn::guest
