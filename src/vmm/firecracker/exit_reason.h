// Why a Firecracker machine ended, put together from what was seen of it.
#pragma once

#include <string>

#include "os/process.h"
#include "vmm/machine.h"

namespace wrenn::vmm {

struct FirecrackerEvidence {
  os::ExitStatus status;          // of its process
  bool killed = false;            // by us, on request
  std::string console_tail;       // the end of the guest's console
  std::string messages_tail;      // the end of what Firecracker itself said
  bool memory_exhausted = false;  // the kernel has killed processes for want of memory meanwhile
};

// A pure function. Exit codes: FcExitCode in src/vmm/src/lib.rs of Firecracker.
MachineExit ExplainFirecrackerExit(const FirecrackerEvidence& evidence);

}  // namespace wrenn::vmm
