// What a sandbox's guest is told by POST /init of its agent: who it is, and what time it is.
#pragma once

#include <string>

#include "store/store.h"
#include "wire/agent_api.h"

namespace wrenn::sandbox {

// What /etc/machine-id says in the sandbox of this id, in each of its lives.
std::string MachineIdOf(const std::string& id);

// After a boot or a restore: everything that makes the guest this sandbox, with fresh entropy.
wire::InitRequest MakeInitRequest(const store::SandboxRecord& record);

// After it stood still: the clock is set, and the rest stays as it is.
wire::InitRequest MakeClockRequest(const store::SandboxRecord& record);

}  // namespace wrenn::sandbox
