// Running processes: list, kill, signal.
#include "api/handlers.h"
#include "api/process_request.h"
#include "api/views.h"

namespace wrenn::api {
namespace {

Status Send(Context& context, wire::Signal signal) {
  ASSIGN_OR_RETURN(const wire::ProcessSelector process, ParseSelector(context.params.at(1)));
  ASSIGN_OR_RETURN(const auto lease, context.UseSandbox());
  const auto sent =
      lease->agent().SendSignal(process, signal, Deadline::After(Context::kGuestLimit));
  if (!sent) return Fail(context.FromGuest(sent.error()));
  return context.exchange.RespondEmpty(204);
}

}  // namespace

Status ListProcesses(Context& context) {
  ASSIGN_OR_RETURN(const auto lease, context.LookAtSandbox());
  const auto processes = lease->agent().List(Deadline::After(Context::kGuestLimit));
  if (!processes) return Fail(context.FromGuest(processes.error()));
  return context.RespondJson(200, ListView(*processes, ProcessView));
}

Status KillProcess(Context& context) { return Send(context, wire::Signal::kKill); }

Status SignalProcess(Context& context) {
  ASSIGN_OR_RETURN(const json::object body, context.ReadJson());
  JsonReader reader(body);
  const wire::Signal signal = ReadSignal(reader, "signal");
  RETURN_IF_ERROR(reader.FinishStrict());
  return Send(context, signal);
}

}  // namespace wrenn::api
