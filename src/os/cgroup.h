// Control groups of version 2: limits, accounts and the end of all processes of a sandbox
// (https://docs.kernel.org/admin-guide/cgroup-v2.html).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace wrenn::os {

// Bounds on one block device, per second; absent: none.
struct IoLimit {
  dev_t device = 0;  // a whole disk, no partition
  std::optional<uint64_t> read_bytes = {};
  std::optional<uint64_t> write_bytes = {};
  std::optional<uint64_t> read_operations = {};
  std::optional<uint64_t> write_operations = {};
};

// Absent: no limit. Those of a controller that is missing (CgroupTree::missing()) do nothing.
struct CgroupLimits {
  // Of all memory, page cache too. Who needs more is ended, with all of the cgroup. No swap is
  // used.
  std::optional<uint64_t> memory_bytes = {};
  std::optional<unsigned> cpu_millis = {};  // thousandths of one CPU, at least 10
  std::optional<unsigned> cpu_weight = {};  // 1 to 10000 of what others want, too; 100 when absent
  std::optional<uint64_t> processes = {};   // threads count
  std::vector<IoLimit> io = {};
};

// What has been used. 0 where the controller, or the kernel, does not count it.
struct CgroupUsage {
  uint64_t cpu_microseconds = 0;
  uint64_t memory_bytes = 0;
  uint64_t memory_peak_bytes = 0;  // Linux 5.19 and later
  uint64_t read_bytes = 0;         // of block devices
  uint64_t write_bytes = 0;
  uint64_t processes = 0;
};

// How often a limit has been met.
struct CgroupEvents {
  uint64_t memory_limit = 0;       // memory had to be taken back first
  uint64_t out_of_memory = 0;      // that did not help
  uint64_t memory_kills = 0;       // processes that were killed for it; the first may count twice
  uint64_t processes_refused = 0;  // forks
};

// One cgroup, made and found by CgroupTree. It is the kernel's, and outlives this object and this
// process: it ends by Remove() only.
class Cgroup {
 public:
  Cgroup(Cgroup&&) noexcept = default;
  Cgroup& operator=(Cgroup&&) noexcept = default;

  const std::string& id() const { return id_; }
  // For SpawnOptions::cgroup_fd.
  int fd() const { return folder_.get(); }

  // Replaces all limits, while processes run. Less memory than is in use is taken back, or the
  // processes are ended.
  Status SetLimits(const CgroupLimits& limits) const;
  Result<CgroupUsage> Usage() const;
  Result<CgroupEvents> Events() const;

  // SIGKILL to all processes, and those that they are just making, and waits until they have ended.
  // Needs Linux 5.14.
  Status Kill(Deadline deadline) const;
  // Waits until there is no process, then removes it: kDeadlineExceeded when there still is one.
  // Harmless when it is gone. The object is of no more use then.
  Status Remove(Deadline deadline);

 private:
  friend class CgroupTree;
  Cgroup(std::string id, std::string path, UniqueFd folder)
      : id_(std::move(id)), path_(std::move(path)), folder_(std::move(folder)) {}
  Status WaitEmpty(Deadline deadline) const;
  Status LimitIo(const std::vector<IoLimit>& limits) const;

  std::string id_;
  std::string path_;
  UniqueFd folder_;
};

}  // namespace wrenn::os
