#include "guest/boot/uevents.h"

#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

namespace wrenn::guest {

Result<Uevents> Uevents::Open() {
  constexpr unsigned kKernelGroup = 1;
  UniqueFd socket(
      ::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = kKernelGroup;
  if (!socket ||
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
    return Fail(ErrnoError("cannot hear of devices"));
  }
  return Uevents(std::move(socket));
}

Status Uevents::WaitUntil(const std::function<bool()>& ready, Deadline deadline) {
  while (!ready()) {
    ASSIGN_OR_RETURN([[maybe_unused]] const short events,
                     WaitReady(socket_.get(), POLLIN, deadline));
    Drain();
  }
  return {};
}

void Uevents::Drain() {
  char ignored[8192];
  // An overrun (ENOBUFS) is read like an event and is news too.
  while (::recv(socket_.get(), ignored, sizeof ignored, 0) > 0 || errno == ENOBUFS) {
  }
}

}  // namespace wrenn::guest
