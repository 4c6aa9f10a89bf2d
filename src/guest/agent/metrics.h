// Metrics: what GET /metrics tells of the guest.
#pragma once

#include <mutex>
#include <string_view>

#include "wire/agent_api.h"

namespace wrenn::guest {

// Busy and total time of all CPUs since boot, in clock ticks: the first line of /proc/stat.
struct CpuTimes {
  uint64_t busy = 0;
  uint64_t total = 0;
};
CpuTimes ParseCpuTimes(std::string_view proc_stat);

// Memory in bytes from /proc/meminfo. "used" leaves out what the kernel gives back when asked.
struct MemoryUse {
  int64_t total = 0;
  int64_t used = 0;
  int64_t cache = 0;
};
MemoryUse ParseMemory(std::string_view proc_meminfo);

// Thread-safe.
class Metrics {
 public:
  Metrics();
  // The CPU's use is the mean since the last call, or since the start.
  wire::GuestMetrics Read();

 private:
  std::mutex mutex_;
  CpuTimes last_;
};

}  // namespace wrenn::guest
