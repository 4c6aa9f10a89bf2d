// RootLock: one server per root.
#pragma once

#include "os/file_lock.h"
#include "os/paths.h"

namespace wrenn::server {

// Holds the lock on the root's pid file, which tells this process's pid while it is held. A file
// that is not locked belongs to no server, whatever it says.
class RootLock {
 public:
  // kFailedPrecondition when another server has it; the message names its pid.
  static Result<RootLock> Acquire(const os::Paths& paths);
  RootLock(RootLock&&) noexcept = default;
  ~RootLock();

 private:
  explicit RootLock(os::FileLock lock) : lock_(std::move(lock)) {}
  os::FileLock lock_;
};

// The pid of the server that runs on this root; kNotFound when none does.
Result<pid_t> RunningServer(const os::Paths& paths);

}  // namespace wrenn::server
