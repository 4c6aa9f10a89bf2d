// Faults on purpose, for tests: has the server or a machine end at an exact step of a transition.
#pragma once

#include <functional>
#include <string>

#include "store/store.h"

namespace wrenn::server {

// From $WRENN_FAULT, "pause.state=server" or "resume.vmm=machine": after that step of any sandbox
// the process ends itself, or the sandbox's VMM, by SIGKILL. Empty without it, which is the
// ordinary case. See ManagerConfig::on_step.
std::function<void(const std::string&, const store::SandboxRecord&)> FaultFromEnvironment();

}  // namespace wrenn::server
