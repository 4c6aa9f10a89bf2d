// Uevents: what the kernel tells of devices that come, change and go.
#pragma once

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace wrenn::os {

// A subscription to the kernel's own events (NETLINK_KOBJECT_UEVENT, group 1). What they say is not
// read: whoever waits for a state of a device subscribes, looks, and looks again after each event.
class Uevents {
 public:
  static Result<Uevents> Subscribe();

  // Waits until there has been one since the last call, lost ones included. kDeadlineExceeded when
  // the deadline passed first.
  Status Wait(Deadline deadline);

 private:
  explicit Uevents(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace wrenn::os
