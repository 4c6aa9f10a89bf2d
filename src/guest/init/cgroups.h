// Control groups (v2): the agent's own, protected one, and one for each process of the user.
//
// Format: the kernel's Documentation/admin-guide/cgroup-v2.rst.
#pragma once

#include <memory>
#include <string>

#include "base/io.h"

namespace wrenn::guest {

// What the classes of a guest with so much memory and so many possible threads are given.
struct CgroupLimits {
  uint64_t agent_memory_min = 0;  // bytes that reclaim never takes from the agent
  uint64_t user_memory_max = 0;   // bytes; what is left is for the agent and the kernel
  uint64_t user_pids_max = 0;
};
CgroupLimits LimitsFor(uint64_t memory_bytes, uint64_t max_threads);

// Sets the classes up under `root` (where cgroup2 is mounted) and moves this process into the
// agent's. What the kernel does not offer is left out; an error only when there is no cgroup v2 at
// all.
Status SetUpCgroups(const std::string& root);

// The cgroup of one process and whatever it starts.
class ProcessCgroup {
 public:
  // Below the users' class: the spare one, or a new one. Null only where SetUpCgroups() was not
  // called or failed.
  static Result<std::shared_ptr<ProcessCgroup>> Create();

  ProcessCgroup(std::string path, UniqueFd folder)
      : path_(std::move(path)), folder_(std::move(folder)) {}
  // Removes it and what its processes made below it when all are empty; otherwise that is done when
  // the last process has gone.
  ~ProcessCgroup();

  // For CLONE_INTO_CGROUP.
  int folder() const { return folder_.get(); }

  // SIGKILL to all that are in it, where the kernel can (since Linux 5.14).
  void Kill() const;

 private:
  const std::string path_;
  const UniqueFd folder_;
};

// Removes the cgroups whose last process has gone since their owner was dropped, and makes a spare
// one, so that the next process need not wait for it.
void TidyCgroups();

}  // namespace wrenn::guest
