// Starting a Firecracker process: everything between a configuration and a microVM that runs.
#pragma once

#include "vmm/firecracker/layout.h"
#include "vmm/firecracker/machine.h"

namespace wrenn::vmm {

// Starts Firecracker in its jail and slot, sets the microVM up by its API and starts it. On failure
// nothing is left and Firecracker's own words are in the error or its detail. Missing fields of the
// configuration: see Validate().
Result<FirecrackerParts> LaunchFirecracker(const MachineConfig& config,
                                           const FirecrackerFacts& facts, Deadline deadline);

// Opens what one writes, to be kept in its logs.
Result<FirecrackerOutputs> OpenOutputs(const MachineConfig& config);

}  // namespace wrenn::vmm
