#include "server/fault.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>

namespace wrenn::server {

std::function<void(const std::string&, const store::SandboxRecord&)> FaultFromEnvironment() {
  const char* set = std::getenv("WRENN_FAULT");
  if (!set || !*set) return {};
  const std::string fault = set;
  return [fault](const std::string& step, const store::SandboxRecord& record) {
    if (fault == step + "=server") ::kill(::getpid(), SIGKILL);
    if (fault != step + "=machine") return;
    const json::value* pid = record.machine.if_contains("pid");
    if (pid && pid->is_number()) ::kill(pid->to_number<pid_t>(), SIGKILL);
  };
}

}  // namespace wrenn::server
