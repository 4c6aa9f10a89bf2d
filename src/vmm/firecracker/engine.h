// The Firecracker engine: machines on Firecracker with KVM, each in a jail and a network slot.
#pragma once

#include <memory>
#include <string>

#include "vmm/machine.h"

namespace wrenn::vmm {

struct FirecrackerEngineOptions {
  // Looked for in $PATH and at VmConfig's default place; with a '/' it is a path.
  std::string binary = "firecracker";
};

// Looks at the host and at the program. kFailedPrecondition with the remedy when Firecracker is
// missing or of a version that cannot be used, when KVM cannot be used, or without the rights to
// jail it.
Result<std::unique_ptr<Engine>> MakeFirecrackerEngine(const FirecrackerEngineOptions& options);

}  // namespace wrenn::vmm
