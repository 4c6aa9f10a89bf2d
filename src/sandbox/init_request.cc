#include "sandbox/init_request.h"

#include "base/id.h"
#include "os/digest.h"

namespace wrenn::sandbox {

std::string MachineIdOf(const std::string& id) {
  constexpr size_t kLength = 32;  // machine-id(5)
  return os::Sha256Hex("machine-id " + id).substr(0, kLength);
}

wire::InitRequest MakeInitRequest(const store::SandboxRecord& record) {
  wire::InitRequest request = MakeClockRequest(record);
  request.sandbox_id = record.id;
  request.hostname = record.id;
  request.machine_id = MachineIdOf(record.id);
  request.entropy = RandomBytes(64);
  return request;
}

wire::InitRequest MakeClockRequest(const store::SandboxRecord& record) {
  wire::InitRequest request;
  request.access_token = record.agent_token;
  // The agent replaces its whole environment with each request.
  request.env_vars = record.envs;
  request.env_vars["WRENN_SANDBOX"] = "true";
  request.env_vars["WRENN_SANDBOX_ID"] = record.id;
  request.env_vars["WRENN_TEMPLATE"] = record.template_name;
  request.timestamp = std::chrono::system_clock::now();
  return request;
}

}  // namespace wrenn::sandbox
