// StopSignals: SIGTERM and SIGINT as a descriptor.
#pragma once

#include "base/io.h"

namespace wrenn::server {

class StopSignals {
 public:
  // Blocks the signals for this thread and those it makes from now on; SIGPIPE is ignored, since
  // writes tell their errors, and SIGHUP too, since a terminal that closes is no reason to end.
  static Result<StopSignals> Block();
  StopSignals(StopSignals&&) noexcept = default;

  // Waits for the next one; its number.
  Result<int> Wait();

 private:
  explicit StopSignals(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;  // a signalfd
};

}  // namespace wrenn::server
