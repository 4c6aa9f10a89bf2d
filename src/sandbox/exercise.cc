#include "sandbox/exercise.h"

#include "base/id.h"
#include "wire/agent_api.h"

namespace wrenn::sandbox {
namespace {

void RunOnce(agent::Client& agent, Deadline deadline) {
  wire::StartRequest request;
  request.process.cmd = "/bin/true";
  request.stdin_open = false;
  auto started = agent.Start(request, {}, std::chrono::milliseconds(0), deadline);
  while (started) {
    const auto event = started->stream.Next(deadline);
    if (!event || !*event) return;
  }
}

}  // namespace

Status ExerciseAgent(agent::Client& agent, const std::string& id, const std::string& token,
                     Deadline deadline) {
  wire::InitRequest init;
  if (!token.empty()) init.access_token = token;
  init.env_vars = {{"WRENN_SANDBOX", "true"}, {"WRENN_SANDBOX_ID", id}};
  init.sandbox_id = id;
  init.hostname = id;
  init.machine_id = RandomHex(32);
  init.entropy = RandomBytes(64);
  init.timestamp = std::chrono::system_clock::now();
  RETURN_IF_ERROR(agent.Init(init, deadline).map([](const auto&) {}));
  RunOnce(agent, deadline);
  return {};
}

}  // namespace wrenn::sandbox
