// UserNumbers: users and groups for VMMs, each of one sandbox's alone.
#pragma once

#include <cstdint>
#include <mutex>
#include <set>
#include <string>

#include "base/result.h"

namespace wrenn::sandbox {

// Numbers that Linux systems leave to nobody (https://systemd.io/UIDS-GIDS), kUsersPerServer of
// them at a place that follows from the server's root: two servers on a host are most likely to
// have different ones. A number is not used again before all others have been. Thread-safe.
inline constexpr uint32_t kFirstUser = 0x70000000;
inline constexpr uint32_t kUsersPerServer = 1 << 16;

class UserNumbers {
 public:
  explicit UserNumbers(const std::string& root);

  // kResourceExhausted when all are in use.
  Result<uint32_t> Take();
  // One that an earlier server has given out, whatever its place was.
  void Keep(uint32_t user);
  void GiveBack(uint32_t user);

 private:
  const uint32_t first_;
  std::mutex mutex_;
  uint32_t next_ = 0;
  std::set<uint32_t> used_;
};

}  // namespace wrenn::sandbox
