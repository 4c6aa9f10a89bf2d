// Restoring a machine from a snapshot: what a new sandbox, a resumed one and the warm pool share.
#pragma once

#include <memory>

#include "agent/client.h"
#include "sandbox/host_share.h"
#include "sandbox/phases.h"
#include "sandbox/sandbox_files.h"
#include "sandbox/source.h"

namespace wrenn::sandbox {

// A machine that stands still, with the memory and disk of its snapshot.
struct Restored {
  disk::Layers disk;
  std::unique_ptr<vmm::Machine> machine;
  // For the agent in it, if somebody has talked to it already.
  std::shared_ptr<agent::Client> agent;
};

// The disk of a machine, which lies in its folder.
void SetDisk(vmm::MachineConfig& config, const disk::Layers& layers);

// Brings the machine of source.snapshot up in `files`, whose folders exist, as `config` wants it
// (id, sizes and folders; disk and memory are found here), with what it needs of the host in
// `share`; its network, if it has one, does what `policy` says. On failure nothing runs, and the
// caller removes what is there of the files and of the share. kFailedPrecondition when it does not
// fit this host, kDataLoss when it is damaged.
Result<Restored> RestoreMachine(const Services& services, SandboxFiles& files, HostShare& share,
                                vmm::MachineConfig config, const net::NetworkPolicy& policy,
                                const Source& source, Deadline deadline, Phases& phases);

}  // namespace wrenn::sandbox
