#include "os/file_lock.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

namespace wrenn::os {

Result<std::optional<FileLock>> FileLock::Take(const std::string& path, int operation) {
  for (;;) {
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd) return Fail(ErrnoError("cannot open lock file '" + path + "'"));
    while (::flock(fd.get(), operation) < 0) {
      if (errno == EWOULDBLOCK) return std::optional<FileLock>();
      if (errno != EINTR) return Fail(ErrnoError("cannot lock '" + path + "'"));
    }
    // The last holder may have removed the file while we waited: then this lock excludes nobody.
    struct stat held;
    struct stat named;
    if (::fstat(fd.get(), &held) == 0 && ::stat(path.c_str(), &named) == 0 &&
        held.st_ino == named.st_ino && held.st_dev == named.st_dev) {
      return std::optional<FileLock>(FileLock(std::move(fd)));
    }
  }
}

Result<FileLock> FileLock::Acquire(const std::string& path, Deadline deadline) {
  if (deadline.IsNever()) {
    ASSIGN_OR_RETURN(std::optional<FileLock> lock, Take(path, LOCK_EX));
    return std::move(*lock);
  }
  // flock(2) knows no time limit and no descriptor tells of an unlock: so it is looked at.
  for (;;) {
    ASSIGN_OR_RETURN(std::optional<FileLock> lock, TryAcquire(path));
    if (lock) return std::move(*lock);
    if (deadline.HasPassed()) {
      return Fail(Code::kDeadlineExceeded, "the lock '{}' is held by somebody else", path);
    }
    constexpr int kPauseMs = 20;
    ::poll(nullptr, 0, std::min(kPauseMs, deadline.PollTimeout()));
  }
}

Result<std::optional<FileLock>> FileLock::TryAcquire(const std::string& path) {
  return Take(path, LOCK_EX | LOCK_NB);
}

}  // namespace wrenn::os
