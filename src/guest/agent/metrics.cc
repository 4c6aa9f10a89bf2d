#include "guest/agent/metrics.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <charconv>
#include <ctime>

#include "base/io.h"
#include "guest/split.h"

namespace wrenn::guest {
namespace {

uint64_t Number(std::string_view text) {
  uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

CpuTimes ParseCpuTimes(std::string_view proc_stat) {
  // proc_stat(5): cpu user nice system idle iowait irq softirq steal guest guest_nice; the last two
  // are part of user and nice.
  const auto words = Words(proc_stat.substr(0, proc_stat.find('\n')));
  CpuTimes times;
  for (size_t i = 1; i < words.size() && i <= 8; ++i) {
    const uint64_t ticks = Number(words[i]);
    times.total += ticks;
    if (i != 4 && i != 5) times.busy += ticks;
  }
  return times;
}

MemoryUse ParseMemory(std::string_view proc_meminfo) {
  const auto bytes = [&](std::string_view key) -> int64_t {
    for (const std::string_view line : Split(proc_meminfo, '\n')) {
      if (!line.starts_with(key) || line.substr(key.size(), 1) != ":") continue;
      const auto words = Words(line.substr(key.size() + 1));
      return words.empty() ? 0 : static_cast<int64_t>(Number(words[0])) * 1024;
    }
    return 0;
  };
  MemoryUse use;
  use.total = bytes("MemTotal");
  use.cache = bytes("Cached") + bytes("SReclaimable");
  use.used = use.total - bytes("MemFree") - bytes("Buffers") - use.cache;
  return use;
}

Metrics::Metrics() : last_(ParseCpuTimes(ReadFile("/proc/stat").value_or(""))) {}

wire::GuestMetrics Metrics::Read() {
  wire::GuestMetrics metrics;
  metrics.timestamp = std::time(nullptr);
  metrics.cpu_count = static_cast<uint32_t>(::sysconf(_SC_NPROCESSORS_ONLN));
  {
    std::lock_guard lock(mutex_);
    const CpuTimes now = ParseCpuTimes(ReadFile("/proc/stat").value_or(""));
    if (now.total > last_.total && now.busy >= last_.busy) {
      metrics.cpu_used_pct = 100.0 * static_cast<double>(now.busy - last_.busy) /
                             static_cast<double>(now.total - last_.total);
    }
    last_ = now;
  }
  const MemoryUse memory = ParseMemory(ReadFile("/proc/meminfo").value_or(""));
  metrics.mem_total = memory.total;
  metrics.mem_used = memory.used;
  metrics.mem_cache = memory.cache;
  struct statvfs disk;
  if (::statvfs("/", &disk) == 0) {
    const auto unit = static_cast<int64_t>(disk.f_frsize);
    metrics.disk_total = static_cast<int64_t>(disk.f_blocks) * unit;
    metrics.disk_used = static_cast<int64_t>(disk.f_blocks - disk.f_bfree) * unit;
  }
  return metrics;
}

}  // namespace wrenn::guest
