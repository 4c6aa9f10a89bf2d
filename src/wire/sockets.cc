#include "wire/sockets.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

namespace wrenn::wire {
namespace {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Result<Address> TcpAddress(const std::string& text, uint16_t port) {
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (::inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.size = sizeof *v4;
  } else if (::inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    address.size = sizeof *v6;
  } else {
    return Fail(Code::kInvalidArgument, "'{}' is not an IP address", text);
  }
  return address;
}

Result<Address> UnixAddress(const std::string& path) {
  Address address;
  auto* un = reinterpret_cast<sockaddr_un*>(&address.storage);
  if (path.size() >= sizeof un->sun_path) {
    return Fail(Code::kInvalidArgument, "socket path '{}' is longer than {} bytes", path,
                sizeof un->sun_path - 1);
  }
  un->sun_family = AF_UNIX;
  std::memcpy(un->sun_path, path.c_str(), path.size() + 1);
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return address;
}

Result<UniqueFd> NewSocket(int family) {
  UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return Fail(ErrnoError("cannot make a socket"));
  return fd;
}

Result<UniqueFd> ListenOn(const Address& address, const std::string& name) {
  ASSIGN_OR_RETURN(UniqueFd fd, NewSocket(address.storage.ss_family));
  if (address.storage.ss_family != AF_UNIX) {
    const int on = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  }
  if (::bind(fd.get(), address.get(), address.size) < 0 || ::listen(fd.get(), 512) < 0) {
    return Fail(ErrnoError("cannot listen on " + name));
  }
  return fd;
}

Result<UniqueFd> ConnectTcpTo(const Address& address, const std::string& name, Deadline deadline) {
  ASSIGN_OR_RETURN(UniqueFd fd, NewSocket(address.storage.ss_family));
  if (::connect(fd.get(), address.get(), address.size) < 0) {
    if (errno != EINPROGRESS) return Fail(ErrnoError("cannot connect to " + name));
    auto ready = WaitReady(fd.get(), POLLOUT, deadline);
    if (!ready) return Fail(ready.error().WithContext("cannot connect to " + name));
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return Fail(ErrnoError("cannot connect to " + name, error));
  }
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

// A unix socket does not connect in the background: while the listener's queue is full, a
// non-blocking connect(2) fails and nothing says when to try again. So it blocks, within the
// deadline (unix(7): SO_SNDTIMEO holds for it), and is made non-blocking afterwards.
Result<UniqueFd> ConnectUnixTo(const Address& address, const std::string& name, Deadline deadline) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return Fail(ErrnoError("cannot make a socket"));
  for (;;) {
    const int left = deadline.PollTimeout();
    // No time at all would mean no limit.
    const timeval limit{left / 1000, left > 0 ? left % 1000 * 1000 : 1000};
    if (left >= 0) ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (::connect(fd.get(), address.get(), address.size) == 0) break;
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return Fail(ErrnoError("cannot connect to " + name));
    if (deadline.HasPassed()) {
      return Fail(Code::kDeadlineExceeded, "cannot connect to {}: timed out", name);
    }
  }
  RETURN_IF_ERROR(SetNonBlocking(fd.get()));
  return fd;
}

}  // namespace

Result<UniqueFd> ListenTcp(const std::string& address, uint16_t port) {
  ASSIGN_OR_RETURN(const Address where, TcpAddress(address, port));
  return ListenOn(where, fmt::format("{}:{}", address, port));
}

Result<UniqueFd> ConnectTcp(const std::string& address, uint16_t port, Deadline deadline) {
  ASSIGN_OR_RETURN(const Address where, TcpAddress(address, port));
  return ConnectTcpTo(where, fmt::format("{}:{}", address, port), deadline);
}

Result<UniqueFd> ListenUnix(const std::string& path) {
  ASSIGN_OR_RETURN(const Address where, UnixAddress(path));
  return ListenOn(where, "'" + path + "'");
}

Result<UniqueFd> ConnectUnix(const std::string& path, Deadline deadline) {
  ASSIGN_OR_RETURN(const Address where, UnixAddress(path));
  return ConnectUnixTo(where, "'" + path + "'", deadline);
}

Result<uint16_t> LocalPort(int fd) {
  Address address;
  address.size = sizeof address.storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.size) < 0) {
    return Fail(ErrnoError("cannot read a socket's address"));
  }
  // The port is at the same place in both families.
  return ntohs(reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_port);
}

}  // namespace wrenn::wire
