// What has to be the same on both sides of a QEMU snapshot. QEMU itself refuses hardly any
// mismatch: it loads a state into a machine with other processors or devices and goes on with
// nonsense.
#pragma once

#include <string>

#include "vmm/qemu/command_line.h"

namespace wrenn::vmm {

// {"engine","build","acceleration","cpu","machine","tsc_khz"}: the exact build of QEMU (its machine
// type microvm has no versions), what the guest sees as its processor, and a digest of the command
// line without what may differ (names, paths). `build` is the first line of QEMU's --version.
json::object QemuFingerprint(const MachineConfig& config, const HostFacts& facts,
                             const std::string& build);

// kFailedPrecondition, naming the first thing that differs.
Status CompareFingerprints(const json::object& kept, const json::object& here);

// The host's processor as a guest of KVM sees it: its model and a digest of its flags.
std::string HostCpu();

}  // namespace wrenn::vmm
