#include "sandbox/limits.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "base/io.h"
#include "os/files.h"

namespace wrenn::sandbox {
namespace {

constexpr int64_t kMiB = 1 << 20;

// A number of bytes in a file of the control group; none when it says "max" or is not there.
int64_t LimitFromFile(const std::string& path) {
  const auto text = ReadFile(path, 64);
  int64_t bytes = 0;
  if (!text) return 0;
  const auto parsed = std::from_chars(text->data(), text->data() + text->size(), bytes);
  return parsed.ec == std::errc() ? bytes : 0;
}

// The path of this process within the hierarchy of a controller ("" for cgroup v2), from
// /proc/self/cgroup (cgroups(7)): lines of "id:controllers:path".
std::string OwnGroup(const std::string& controller) {
  const auto text = ReadFile("/proc/self/cgroup", 65536);
  if (!text) return {};
  for (size_t begin = 0; begin < text->size();) {
    const size_t end = std::min(text->find('\n', begin), text->size());
    const std::string line = text->substr(begin, end - begin);
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first != std::string::npos && second != std::string::npos &&
        line.substr(first + 1, second - first - 1) == controller) {
      return line.substr(second + 1);
    }
    begin = end + 1;
  }
  return {};
}

int64_t HostMemoryBytes() {
  int64_t bytes = static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) *
                  static_cast<int64_t>(::sysconf(_SC_PAGESIZE));
  // In a container the root of the hierarchy is often the container's own group.
  for (const std::string& path :
       {"/sys/fs/cgroup" + OwnGroup("") + "/memory.max", std::string("/sys/fs/cgroup/memory.max"),
        "/sys/fs/cgroup/memory" + OwnGroup("memory") + "/memory.limit_in_bytes",
        std::string("/sys/fs/cgroup/memory/memory.limit_in_bytes")}) {
    const int64_t limit = LimitFromFile(path);
    if (limit > 0) bytes = std::min(bytes, limit);
  }
  return bytes;
}

int UsableCpus() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN)));
}

}  // namespace

Limits DefaultLimits() {
  const int cpus = UsableCpus();
  Limits limits;
  limits.max_memory_mb = HostMemoryBytes() / kMiB * 85 / 100;
  limits.max_vcpus = 8 * cpus;
  limits.max_disk_mb = kWhatFits;
  limits.max_sandbox_vcpus = std::max(2, cpus);
  limits.max_sandbox_disk_mb = 1 << 20;
  limits.max_parallel_starts = std::max(2, cpus);
  limits.min_free_disk_mb = 512;
  return limits;
}

Status MeasureDisk(const os::Paths& paths, Limits& limits) {
  if (limits.max_disk_mb != kWhatFits) return {};
  ASSIGN_OR_RETURN(const uint64_t free_bytes, os::FreeDiskBytes(paths.root));
  const uint64_t bytes = free_bytes + os::AllocatedBytes(paths.Sandboxes());
  const int64_t room_mb = static_cast<int64_t>(bytes / kMiB) - limits.min_free_disk_mb;
  limits.max_disk_mb = std::max<int64_t>(1, room_mb);  // 0 would be no limit
  return {};
}

}  // namespace wrenn::sandbox
