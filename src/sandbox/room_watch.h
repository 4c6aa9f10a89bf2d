// RoomWatch: holds what sandboxes write to block devices while the host's disk is almost full, and
// ends those whose device has failed.
#pragma once

#include "sandbox/directory.h"

namespace wrenn::sandbox {

class RoomWatch {
 public:
  RoomWatch(const Services& services, Directory& directory)
      : services_(services), directory_(directory) {}

  // Looks, and answers when to look again.
  Deadline Look();

 private:
  const Services& services_;
  Directory& directory_;
  bool full_ = false;
  bool failed_ = false;  // the last time, with one of them
  Deadline::Clock::time_point next_{};
};

}  // namespace wrenn::sandbox
