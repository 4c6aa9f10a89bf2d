// The QEMU engine: machines on qemu-system-x86_64, with KVM where that works and emulation where
// not.
#pragma once

#include <memory>
#include <string>

#include "vmm/machine.h"

namespace wrenn::vmm {

struct QemuOptions {
  std::string binary = "qemu-system-x86_64";
  std::string acceleration = "auto";  // "auto", "kvm" or "tcg"
  // Where the answer to "does KVM really run a guest here" is kept for this boot of the host;
  // empty: nowhere.
  std::string probe_cache;
  // The guest to ask with. Without one the first Boot() asks with its own.
  std::string probe_kernel;
  std::string probe_initramfs;
  // A folder for the probe's files and for what jails are given; must exist. Its path should be
  // short (sockets). Empty: /tmp.
  std::string probe_directory;
  // Whether machines with a user are jailed: "auto" where that works, "on", "off".
  std::string jail = "off";
};

// Looks at the host; starts a probe guest when KVM looks usable and nothing is known yet.
// kFailedPrecondition with the remedy when QEMU is missing or too old, or KVM is asked for and
// or a jail is asked for and cannot be had.
Result<std::unique_ptr<Engine>> MakeQemuEngine(QemuOptions options);

// Removes what the probes of servers that were killed left in a QemuOptions::probe_directory. Only
// for who knows that no other server uses it.
void RemoveOldProbes(const std::string& directory);

}  // namespace wrenn::vmm
