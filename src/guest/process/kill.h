// Ending a process with all that it started.
#pragma once

#include <memory>

#include "guest/init/cgroups.h"
#include "guest/init/reaper.h"

namespace wrenn::guest {

// SIGKILL to the process and its descendants: to its cgroup where there is one, which reaches all
// that have not left it; and to its session and to whatever has a member of it as ancestor, which
// misses a daemon whose parents are gone.
void KillTree(const Child& child, const ProcessCgroup* cgroup);

}  // namespace wrenn::guest
