// What one Firecracker is given and sees: the configuration of its microVM, with paths in its jail,
// and the jail. Pure functions over a MachineConfig.
#pragma once

#include <sys/types.h>

#include <optional>

#include "os/jail.h"
#include "vmm/firecracker/api_requests.h"
#include "vmm/machine.h"

namespace wrenn::vmm {

// What is known of the host and of the installed Firecracker.
struct FirecrackerFacts {
  std::string binary;  // absolute
  FirecrackerVersion version;
  uint32_t emulated_tsc_khz = 0;  // KernelAdditions
};

VmConfig FirecrackerConfig(const MachineConfig& config);
BootOptions FirecrackerOptions(const MachineConfig& config, const FirecrackerFacts& facts);
std::vector<std::string> FirecrackerArguments(const MachineConfig& config);

// `disk` is the number of the block device config.disk, or nothing where that is a file;
// `net_namespace` a descriptor of the slot's.
os::Jail FirecrackerJail(const MachineConfig& config, const FirecrackerFacts& facts,
                         std::optional<dev_t> disk, int net_namespace);

}  // namespace wrenn::vmm
