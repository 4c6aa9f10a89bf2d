// Uevents: the kernel's word that a device has come (netlink, NETLINK_KOBJECT_UEVENT).
#pragma once

#include <functional>

#include "base/io.h"

namespace wrenn::guest {

// Hears events from Open() on, so none between looking and waiting is missed.
class Uevents {
 public:
  static Result<Uevents> Open();

  // Asks `ready` now and after every event until it says yes. kDeadlineExceeded.
  Status WaitUntil(const std::function<bool()>& ready, Deadline deadline);

  // Readable when there are events; what they say does not matter, they are only drained.
  int fd() const { return socket_.get(); }
  void Drain();

 private:
  explicit Uevents(UniqueFd socket) : socket_(std::move(socket)) {}
  UniqueFd socket_;
};

}  // namespace wrenn::guest
