// Interrupter: ends what goes on over connections, from another thread.
#pragma once

#include <mutex>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace wrenn::cli {

// Thread-safe.
class Interrupter {
 public:
  // Takes a connection under control. kCanceled after Interrupt().
  Status Add(int socket);
  // Breaks all connections, so that who waits for them gets an error, and refuses new ones.
  void Interrupt();

 private:
  std::mutex mutex_;
  std::vector<UniqueFd> sockets_;  // duplicates: they stay valid whenever the originals are closed
  bool interrupted_ = false;
};

}  // namespace wrenn::cli
