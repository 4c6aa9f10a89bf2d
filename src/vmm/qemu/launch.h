// Starting a QEMU process: everything between a configuration and a VMM that answers.
#pragma once

#include <memory>

#include "vmm/qemu/command_line.h"
#include "vmm/qemu/machine.h"

namespace wrenn::vmm {

// Starts the VMM and what carries its network, if it has one. On failure nothing is left and
// the VMM's own words are in the error's detail.
Result<QemuParts> LaunchQemu(const MachineConfig& config, const HostFacts& facts, Deadline deadline,
                             Start start = Start::kBoot);

// Connects to what a running VMM offers to a server: its control, console and stderr.
Result<VmmConnections> ConnectVmm(const MachineConfig& config, Deadline deadline);

}  // namespace wrenn::vmm
