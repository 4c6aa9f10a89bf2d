// The probes of `wrenn doctor`: each tries the real thing, leaves nothing behind and needs no root.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cli/doctor/report.h"
#include "os/paths.h"

namespace wrenn::cli::doctor {

// engine_probes.cc: QEMU, KVM and what runs sandboxes.
std::vector<Check> ProbeEngine(const os::Paths& paths);

// firecracker_probe.cc: whether Firecracker can be the engine, with all that it needs but disks and
// networks. `binary` as in vmm::FirecrackerEngineOptions; `guests_run`: whether ProbeEngine() has
// found that guests run with KVM, which here is not tried again.
Check ProbeFirecracker(const std::string& binary, bool guests_run);

// network_probes.cc: namespaces, TUN, nftables, passt.
std::vector<Check> ProbeNetwork();

// kernel_probes.cc: device-mapper, cgroup v2, userfaultfd, PAGEMAP_SCAN.
std::vector<Check> ProbeKernel();

// Makes a cgroup below one's own and removes it; answers what was found.
Result<std::string> TryCgroup();

// neighbour_probes.cc: what can tell of a guest's memory: swap, KSM, SMT. `root` is where /proc and
// /sys are, for tests.
std::vector<Check> ProbeNeighbours(const std::string& root = "");

// host_probes.cc: reflink and room on the root's file system, memory, programs for building
// templates.
std::vector<Check> ProbeHost(const os::Paths& paths);

}  // namespace wrenn::cli::doctor
