// RootLock: one server per root, and one root per runtime folder.
#pragma once

#include "os/file_lock.h"
#include "os/paths.h"

namespace wrenn::server {

// Holds the lock on the root's pid file, which tells this process's pid while it is held, and on a
// second line the URL at which it answers, as soon as it does. A file that is not locked belongs to
// no server, whatever it says.
//
// Also holds the lock of the runtime folder, which names the root that it belongs to: what is there
// and not in this root's records would be removed as an orphan, and may be another root's.
class RootLock {
 public:
  // kFailedPrecondition when another server has the root (the message names its pid) or the runtime
  // folder, or when that holds sockets of another root's sandboxes. Both folders must exist.
  static Result<RootLock> Acquire(const os::Paths& paths);
  RootLock(RootLock&&) noexcept = default;
  ~RootLock();

  // Tells others that this server answers at `address`, e.g. "127.0.0.1:8080".
  Status Announce(const std::string& address);

 private:
  RootLock(os::FileLock lock, os::FileLock runtime, std::string pid_file)
      : lock_(std::move(lock)), runtime_(std::move(runtime)), pid_file_(std::move(pid_file)) {}
  os::FileLock lock_;
  os::FileLock runtime_;
  std::string pid_file_;
};

struct ServerOfRoot {
  pid_t pid = 0;
  std::string url;  // "http://127.0.0.1:8080"; empty while it starts
};

// The server that runs on this root; kNotFound when none does.
Result<ServerOfRoot> RunningServer(const os::Paths& paths);

}  // namespace wrenn::server
