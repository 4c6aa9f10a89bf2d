// Why a machine ended, put together from what was seen of it.
#pragma once

#include <cstdint>
#include <string>

#include "os/process.h"
#include "vmm/machine.h"

namespace wrenn::vmm {

struct ExitEvidence {
  os::ExitStatus status;          // of the VMM's process
  bool killed = false;            // by us, on request
  bool disk_error = false;        // QMP: a write of the guest's failed, and not for want of space
  std::string network_end;        // how the processes of its network ended before it; empty: not
  std::string shutdown_reason;    // QMP's SHUTDOWN event: "guest-shutdown", "guest-reset", ...
  std::string console_tail;       // the end of the guest's console
  std::string stderr_tail;        // the end of what the VMM itself said
  bool memory_exhausted = false;  // the kernel has killed processes for want of memory meanwhile
};

// A pure function.
MachineExit ExplainExit(const ExitEvidence& evidence);

}  // namespace wrenn::vmm
