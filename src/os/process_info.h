// What /proc tells about processes and this boot.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace wrenn::os {

struct ProcessStat {
  char state = '?';  // 'Z': a zombie
  pid_t parent = 0;
  uint64_t start_time = 0;  // clock ticks since boot
};

// Reads /proc/PID/stat (proc(5)). kNotFound only when there is no such process: failing to look,
// e.g. for want of descriptors, is another error.
Result<ProcessStat> ReadProcessStat(pid_t pid);
// The same from the file's text; kInvalidArgument when it is none.
Result<ProcessStat> ParseProcessStat(std::string_view text);

// The arguments that a process was started with; empty for a zombie. Errors as above.
Result<std::vector<std::string>> ReadCommandLine(pid_t pid);

// Memory that the process really costs, in bytes: its own pages and its share of those it shares
// (PSS of /proc/PID/smaps_rollup). Needs the same user or CAP_SYS_PTRACE.
Result<uint64_t> ProportionalMemoryBytes(pid_t pid);

// The path of the running program.
Result<std::string> ExecutablePath();

// Names this boot of the machine (/proc/sys/kernel/random/boot_id).
Result<std::string> BootId();

// How many processes the kernel has killed for want of memory since boot (oom_kill of
// /proc/vmstat); 0 when it does not say.
uint64_t OutOfMemoryKills();

}  // namespace wrenn::os
