// All cgroups of one server.
#pragma once

#include <string>
#include <vector>

#include "os/cgroup.h"

namespace wrenn::os {

// A folder "wrenn-<mark>" of cgroups, one for each id, each without cgroups of its own:
//
//   /sys/fs/cgroup/                    the top, or a cgroup that systemd has given to this service
//   └── wrenn-<mark>/                  has no processes
//       ├── sb-0123456789abcdefghij/   the processes of one sandbox
//       └── ...
//
// It lives on without this process, and the next one to open it finds what is in it. Marks and ids
// are of 1 to 64 characters of [a-z0-9-].
class CgroupTree {
 public:
  // Makes the folder, or finds it. It is within the nearest cgroup above this process that systemd
  // has marked as delegated, and that is not a user's session, else at the top of what is mounted.
  // In a container the processes at the top are moved to "<top>/wrenn-host" when that is what keeps
  // controllers from cgroups below it (docs/adr/0011-jail-and-cgroups.md).
  // kUnimplemented: this machine, or container, has no cgroup v2 that can be used;
  // kPermissionDenied: needs root. The message has the remedy.
  static Result<CgroupTree> Open(const std::string& mark);

  CgroupTree(CgroupTree&&) noexcept = default;
  CgroupTree& operator=(CgroupTree&&) noexcept = default;

  // The controllers that are not to be had, of cpu, io, memory and pids.
  const std::vector<std::string>& missing() const { return missing_; }
  // Its path, for the log.
  const std::string& path() const { return path_; }

  // kAlreadyExists when there is one of this id. Nothing is left of one whose limits are refused.
  Result<Cgroup> Make(const std::string& id, const CgroupLimits& limits) const;
  // One that was made before. kNotFound when there is none.
  Result<Cgroup> Adopt(const std::string& id) const;
  // Those that there are, sorted.
  Result<std::vector<std::string>> Ids() const;
  // Ends the processes of all others than those in `keep`, and removes them. Goes on after a
  // failure and answers the first one.
  Status RemoveStale(const std::vector<std::string>& keep, Deadline deadline) const;

 private:
  CgroupTree(std::string path, std::vector<std::string> missing)
      : path_(std::move(path)), missing_(std::move(missing)) {}

  std::string path_;
  std::vector<std::string> missing_;
};

}  // namespace wrenn::os
