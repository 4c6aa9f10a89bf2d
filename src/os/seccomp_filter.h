// The system calls that a jailed program may not make (seccomp(2)).
#pragma once

#include <linux/filter.h>

#include <vector>

namespace wrenn::os {

// The filter of every jail, as a program for SECCOMP_SET_MODE_FILTER. It lets through what it does
// not name, so that it fits any VMM, and refuses with EPERM what none needs and what has been a way
// out of jails: mounts, namespaces, tracing and reading other processes, modules, bpf, perf, keys,
// io_uring, userfaultfd(2) (a VMM that needs one is given the device /dev/userfaultfd), handles of
// files, device nodes, clocks, and the entries of i386 and x32. clone3(2), whose flags cannot be
// looked at, and what is newer than the list are ENOSYS, as on a kernel that does not have them:
// programs then take the older call. A VMM's own, tighter filter goes on top of it.
std::vector<sock_filter> JailFilter();

}  // namespace wrenn::os
