#include "os/uevents.h"

#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "base/io.h"

namespace wrenn::os {

Result<Uevents> Uevents::Subscribe() {
  UniqueFd fd(
      ::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = 1;  // what the kernel sends; udev's own messages are group 2
  if (!fd || ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
    return Fail(ErrnoError("cannot listen to the kernel's device events"));
  }
  return Uevents(std::move(fd));
}

Status Uevents::Wait(Deadline deadline) {
  RETURN_IF_ERROR(WaitReady(fd_.get(), POLLIN, deadline));
  std::array<char, 8192> event;
  for (;;) {
    if (::recv(fd_.get(), event.data(), event.size(), 0) >= 0 || errno == EINTR) continue;
    // ENOBUFS: more came than the socket holds, so something has happened.
    if (errno == EAGAIN || errno == ENOBUFS) return {};
    return Fail(ErrnoError("cannot read the kernel's device events"));
  }
}

}  // namespace wrenn::os
