// FileLock: an exclusive lock on a file (flock(2)), gone with its holder however that ends.
#pragma once

#include <optional>
#include <string>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace wrenn::os {

// The lock is the open file's: it is not inherited by programs started meanwhile (close-on-exec).
// The file is made with mode 0600 when absent and may be removed by the holder.
class FileLock {
 public:
  // Waits for the lock as long as it takes, or until the deadline (kDeadlineExceeded).
  static Result<FileLock> Acquire(const std::string& path, Deadline deadline = Deadline::Never());
  // The lock, or nothing when somebody holds it.
  static Result<std::optional<FileLock>> TryAcquire(const std::string& path);

  // The locked file, e.g. to write the holder's pid to.
  int fd() const { return fd_.get(); }

 private:
  explicit FileLock(UniqueFd fd) : fd_(std::move(fd)) {}
  static Result<std::optional<FileLock>> Take(const std::string& path, int operation);
  UniqueFd fd_;
};

}  // namespace wrenn::os
