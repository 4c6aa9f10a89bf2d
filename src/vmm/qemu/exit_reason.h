// Why a machine ended, put together from what was seen of it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "os/process.h"
#include "vmm/machine.h"

namespace wrenn::vmm {

struct ExitEvidence {
  os::ExitStatus status;          // of the VMM's process
  bool killed = false;            // by us, on request
  bool disk_full = false;         // QMP: a write of the guest's found no space
  std::string shutdown_reason;    // QMP's SHUTDOWN event: "guest-shutdown", "guest-reset", ...
  std::string console_tail;       // the end of the guest's console
  std::string stderr_tail;        // the end of what the VMM itself said
  bool memory_exhausted = false;  // the kernel has killed processes for want of memory meanwhile
};

// A pure function.
MachineExit ExplainExit(const ExitEvidence& evidence);

// The last line that is not blank, at most 200 characters, control characters left out.
std::string LastLine(std::string_view text);

}  // namespace wrenn::vmm
