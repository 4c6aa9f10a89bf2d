// Limits: what one host gives to its sandboxes.
#pragma once

#include <cstdint>

#include "os/paths.h"

namespace wrenn::sandbox {

// 0 means no limit, throughout.
struct Limits {
  // For all sandboxes together.
  int max_sandboxes = 0;
  int64_t max_memory_mb = 0;
  int max_vcpus = 0;
  int64_t max_disk_mb = 0;  // the disks' sizes as their guests see them; they take what is written
  // For each.
  int max_sandbox_vcpus = 0;
  int64_t max_sandbox_disk_mb = 0;
  // How many start at the same time; the others wait for their turn.
  int max_parallel_starts = 0;
  // No sandbox is started when the file system has less than this left.
  int64_t min_free_disk_mb = 0;
};

// As max_disk_mb: what the file system has room for when all disks fill up. A sandbox whose write
// finds no room ends, whichever one took it: more than that is for the host's owner to choose.
inline constexpr int64_t kWhatFits = -1;

// What this host can bear: 85 % of its memory (or of what its control group allows), 8 virtual CPUs
// per CPU, as many starts at once as CPUs (at least 2), 512 MiB of disk left free, and of disks
// what fits.
Limits DefaultLimits();

// Puts the number that holds now in the place of kWhatFits: the file system's free space and what
// sandboxes have of it already, without min_free_disk_mb.
Status MeasureDisk(const os::Paths& paths, Limits& limits);

}  // namespace wrenn::sandbox
