#include "sandbox/exercise.h"

#include "base/id.h"
#include "sandbox/init_request.h"
#include "wire/agent_api.h"

namespace wrenn::sandbox {
namespace {

// It takes tens of milliseconds; a guest's program of that name may never end.
constexpr std::chrono::seconds kRunLimit{10};

void RunOnce(agent::Client& agent, Deadline deadline) {
  wire::StartRequest request;
  request.process.cmd = "/bin/true";
  request.stdin_open = false;
  deadline = Deadline::Earlier(deadline, Deadline::After(kRunLimit));
  auto started = agent.Start(request, {}, kRunLimit, deadline);
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
  init.machine_id = MachineIdOf(id);
  init.entropy = RandomBytes(64);
  init.timestamp = std::chrono::system_clock::now();
  RETURN_IF_ERROR(agent.Init(init, deadline).map([](const auto&) {}));
  RunOnce(agent, deadline);
  return {};
}

}  // namespace wrenn::sandbox
