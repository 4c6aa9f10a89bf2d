// The service process.Process of the envd wire.
#pragma once

#include "guest/agent/rpc.h"
#include "guest/agent/settings.h"
#include "guest/process/manager.h"

namespace wrenn::guest {

// A client that goes away leaves its process running; at the time limit of a Start call the process
// is killed with all that it started. The time limit of a Connect call ends that stream alone.
class ProcessService {
 public:
  explicit ProcessService(Settings& settings) : settings_(settings) {}

  // Serves `method`, e.g. "Start". False when there is none of that name.
  bool Handle(wire::Exchange& exchange, std::string_view method);

  // Kills all processes.
  void Stop() { processes_.Stop(); }

 private:
  Status Start(wire::Exchange& exchange, const json::object& request);
  Status Connect(wire::Exchange& exchange, const json::object& request);
  Result<json::object> List();
  Result<json::object> Update(const json::object& request);
  Result<json::object> SendInput(wire::Exchange& exchange, const json::object& request);
  Result<json::object> SendSignal(const json::object& request);
  Result<json::object> CloseStdin(const json::object& request);
  Result<json::object> StreamInput(wire::Exchange& exchange);

  Result<Process::Options> MakeOptions(wire::Exchange& exchange, const json::object& request);
  Result<std::shared_ptr<Process>> Selected(const json::object& request, bool ended_too = false);

  Settings& settings_;
  ProcessManager processes_;
};

// The user that a request names by "Authorization: Basic base64(user:)", or an empty text.
std::string BasicUser(const wire::RequestHead& head);

}  // namespace wrenn::guest
