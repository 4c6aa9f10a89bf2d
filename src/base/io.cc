#include "base/io.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdint>

namespace wrenn {
namespace {

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

ssize_t WriteQuietly(int fd, std::string_view data) {
  const ssize_t sent = ::send(fd, data.data(), data.size(), MSG_NOSIGNAL);
  if (sent < 0 && errno == ENOTSOCK) return ::write(fd, data.data(), data.size());
  return sent;
}

Status SetNonBlocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
    return Fail(ErrnoError("cannot make a descriptor non-blocking"));
  }
  return {};
}

Result<short> WaitReady(int fd, short events, Deadline deadline) {
  pollfd entry{fd, events, 0};
  for (;;) {
    const int ready = ::poll(&entry, 1, deadline.PollTimeout());
    if (ready > 0) return entry.revents;
    if (ready < 0 && errno != EINTR) return Fail(ErrnoError("poll"));
    if (deadline.HasPassed()) return Fail(Code::kDeadlineExceeded, "timed out");
  }
}

Result<size_t> ReadSome(int fd, std::span<char> out, Deadline deadline) {
  for (;;) {
    const ssize_t got = ::read(fd, out.data(), out.size());
    if (got >= 0) return static_cast<size_t>(got);
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return Fail(ErrnoError("read"));
    ASSIGN_OR_RETURN([[maybe_unused]] short ready, WaitReady(fd, POLLIN, deadline));
  }
}

Status WriteAll(int fd, std::string_view data, Deadline deadline) {
  while (!data.empty()) {
    const ssize_t sent = WriteQuietly(fd, data);
    if (sent >= 0) {
      data.remove_prefix(static_cast<size_t>(sent));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return Fail(ErrnoError("write"));
    ASSIGN_OR_RETURN([[maybe_unused]] short ready, WaitReady(fd, POLLOUT, deadline));
  }
  return {};
}

Result<std::pair<UniqueFd, UniqueFd>> SocketPair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0) {
    return Fail(ErrnoError("cannot make a socket pair"));
  }
  return std::pair(UniqueFd(fds[0]), UniqueFd(fds[1]));
}

Result<UniqueFd> MakeEventFd() {
  UniqueFd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) return Fail(ErrnoError("cannot make an eventfd"));
  return fd;
}

void SignalEventFd(int fd) {
  const uint64_t one = 1;
  // The only failure is a counter about to overflow, and then the reader is woken already.
  [[maybe_unused]] const ssize_t written = ::write(fd, &one, sizeof one);
}

void DrainEventFd(int fd) {
  uint64_t count;
  [[maybe_unused]] const ssize_t got = ::read(fd, &count, sizeof count);
}

Result<std::string> ReadFile(const std::string& path, size_t limit) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return Fail(ErrnoError("cannot open '" + path + "'"));
  std::string content;
  char buffer[16384];
  for (;;) {
    ASSIGN_OR_RETURN(const size_t got, ReadSome(fd.get(), buffer, Deadline::Never()));
    if (got == 0) return content;
    if (content.size() + got > limit) {
      return Fail(Code::kOutOfRange, "'{}' is larger than {} bytes", path, limit);
    }
    content.append(buffer, got);
  }
}

Status SyncDirectory(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return Fail(ErrnoError("cannot open '" + path + "'"));
  if (::fsync(fd.get()) < 0) return Fail(ErrnoError("cannot sync '" + path + "'"));
  return {};
}

Status SyncFile(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return Fail(ErrnoError("cannot open '" + path + "'"));
  if (::fsync(fd.get()) < 0) return Fail(ErrnoError("cannot sync '" + path + "'"));
  return {};
}

namespace {

Status Replace(const std::string& path, std::string_view content, unsigned mode, bool durable) {
  std::string temporary = path + ".XXXXXX";
  UniqueFd fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd) return Fail(ErrnoError("cannot write '" + path + "'"));
  const auto fail = [&](Error error) {
    ::unlink(temporary.c_str());
    return Fail(std::move(error));
  };
  if (auto written = WriteAll(fd.get(), content, Deadline::Never()); !written) {
    return fail(written.error().WithContext("cannot write '" + path + "'"));
  }
  if (::fchmod(fd.get(), mode) < 0 || (durable && ::fsync(fd.get()) < 0) ||
      ::rename(temporary.c_str(), path.c_str()) < 0) {
    return fail(ErrnoError("cannot write '" + path + "'"));
  }
  return {};
}

}  // namespace

Status WriteFileAtomically(const std::string& path, std::string_view content, unsigned mode) {
  RETURN_IF_ERROR(Replace(path, content, mode, true));
  return SyncDirectory(ParentOf(path));
}

Status ReplaceFile(const std::string& path, std::string_view content, unsigned mode) {
  return Replace(path, content, mode, false);
}

}  // namespace wrenn
