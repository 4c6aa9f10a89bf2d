// The file systems that every guest has.
#pragma once

#include <string>

#include "base/result.h"

namespace wrenn::guest {

// Mounts devtmpfs, proc and sysfs below the root: all that finding the disk needs.
Status MountEssentials();

// Mounts the rest: terminals, shared memory, /run, cgroup2. (/tmp stays on the disk: it may grow,
// and memory is dear.) Answers what could not be mounted, one line each, for the console.
std::string MountRest();

}  // namespace wrenn::guest
