// Writing to our own stdout and stderr, which perhaps nobody reads.
#pragma once

#include <pthread.h>

#include <atomic>
#include <csignal>
#include <string_view>

#include "base/result.h"

namespace wrenn::cli {

// Writes that can be broken off from another thread, whatever kind of file it is: the descriptor
// stays blocking, since others share it. Made and used by one thread; as long as it lives, SIGUSR1
// only interrupts.
class StdoutWriter {
 public:
  StdoutWriter();
  StdoutWriter(const StdoutWriter&) = delete;
  StdoutWriter& operator=(const StdoutWriter&) = delete;
  ~StdoutWriter();

  // Waits as long as the reader takes nothing. kCanceled after BreakOff(), kUnavailable when the
  // reader is gone.
  Status Write(int fd, std::string_view data);

  // From another thread: Write() fails from now on. A call may come just before a write begins to
  // wait: it is repeated until the writing thread has shown that it has heard it.
  void BreakOff();

 private:
  const pthread_t thread_;
  std::atomic<bool> broken_off_ = false;
  struct sigaction before_{};
};

}  // namespace wrenn::cli
