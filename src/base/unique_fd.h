// UniqueFd: an owned file descriptor. In base/ because guest and host both need it.
#pragma once

#include <unistd.h>

#include <utility>

namespace wrenn {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) Reset(other.Release());
    return *this;
  }
  ~UniqueFd() { Reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

  // Gives the descriptor up to the caller.
  int Release() { return std::exchange(fd_, -1); }

  // Closes what is held and takes `fd`. An error of close(2) is not reported: what must reach the
  // disk is flushed with fsync(2) before.
  void Reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

}  // namespace wrenn
