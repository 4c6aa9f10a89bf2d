// QEMU's command line as a function of what shall run.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "vmm/machine.h"
#include "vmm/qemu/jailed_qemu.h"

namespace wrenn::vmm {

// What is inherited by QEMU, as the descriptor numbers that it sees there.
inline constexpr int kQmpFd = 3;  // listening unix sockets:
inline constexpr int kConsoleFd = 4;
inline constexpr int kAgentFd[2] = {5, 6};
// With a network: its slot's TAP device, else one end of a socket pair with its user-mode network.
inline constexpr int kNetworkFd = 7;

// The name of a disk layer's node in QEMU's block graph: its file's without the suffix.
std::string DiskNodeName(const std::string& path);

// A disk layer as a node. `alone`: without what is below it, for a layer that will take the place
// of the present one.
json::object DiskNode(const std::string& path, DiskFormat format, bool alone);

// The names of the two virtio-serial ports, as the guest sees them in
// /sys/class/virtio-ports/*/name.
inline constexpr const char* kAgentPortName[2] = {"wrenn.agent.0", "wrenn.agent.1"};

// What the command line needs to know about this host.
struct HostFacts {
  std::string binary = "qemu-system-x86_64";
  bool kvm = false;
  uint32_t tsc_khz = 0;
  bool kernel_log = false;  // let the kernel tell on the console how it boots
  bool readonly_memory =
      false;  // this QEMU can map MachineConfig::memory without opening it to write
  std::shared_ptr<const QemuFiles> files = {};  // for machines in a jail; null: there are none
};

enum class Start { kBoot, kRestore };

// The arguments, argv[0] included. A pure function. A machine that is restored has the same
// devices, loads nothing, and waits for its state.
std::vector<std::string> QemuCommandLine(const MachineConfig& config, const HostFacts& facts,
                                         Start start = Start::kBoot);

// The kernel's command line, which wrenn-init also reads (root, ip, wrenn.hostname, wrenn.dns).
std::string KernelCommandLine(const MachineConfig& config, const HostFacts& facts);

// The value of -name: how a running VMM is recognised as the one of this id.
std::string MachineName(const std::string& id);

}  // namespace wrenn::vmm
