#include "guest/agent/process_service.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encoding.h"

namespace wrenn::guest {
namespace {

bool HasNul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

// Texts become C strings: a NUL would cut them, and '=' would end a variable's name early.
Status CheckTexts(const wire::StartRequest& request) {
  bool good = !HasNul(request.process.cmd);
  for (const std::string& argument : request.process.args) good = good && !HasNul(argument);
  for (const auto& [name, value] : request.process.envs) {
    if (name.empty() || name.find('=') != std::string::npos) {
      return Fail(Code::kInvalidArgument, "'{}' cannot be the name of a variable", name);
    }
    good = good && !HasNul(name) && !HasNul(value);
  }
  if (!good) return Fail(Code::kInvalidArgument, "commands cannot hold NUL bytes");
  return {};
}

bool IsFolder(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

std::string StartEnvelope(uint32_t pid) {
  json::object event;
  event["event"] = wire::ToJson(wire::ProcessEvent(wire::ProcessStarted{pid}));
  return wire::FormatEnvelope(0, json::serialize(event));
}

const std::string& KeepAliveEnvelope() {
  static const std::string* const envelope =
      new std::string(wire::FormatEnvelope(0, R"({"event":{"keepalive":{}}})"));
  return *envelope;
}

// Sends events until the process has ended, the client has gone or the limit has passed.
Status SendEvents(wire::Exchange& exchange, uint32_t pid, Subscription& events, Deadline limit) {
  struct Cancel {
    Subscription& events;
    ~Cancel() { events.Cancel(); }
  } cancel{events};
  const auto pause = KeepAliveInterval(exchange);
  StreamWriter writer(exchange);
  RETURN_IF_ERROR(writer.Start(StartEnvelope(pid)));
  Deadline keep_alive = Deadline::After(pause);
  for (;;) {
    const Subscription::Taken taken = events.Take();
    if (taken.ended) return writer.Finish();
    if (taken.message) {
      RETURN_IF_ERROR(writer.Send(*taken.message));
      keep_alive = Deadline::After(pause);
      continue;
    }
    pollfd entries[] = {{events.event(), POLLIN, 0}, {exchange.client_fd(), POLLRDHUP, 0}};
    ::poll(entries, 2, Deadline::Earlier(keep_alive, limit).PollTimeout());
    if (entries[1].revents) return Fail(Code::kCanceled, "the client has gone");
    if (entries[0].revents) continue;
    if (limit.HasPassed()) {
      return writer.End(Error{Code::kDeadlineExceeded, "the time limit has passed", {}});
    }
    if (keep_alive.HasPassed()) {
      RETURN_IF_ERROR(writer.Send(KeepAliveEnvelope()));
      keep_alive = Deadline::After(pause);
    }
  }
}

}  // namespace

std::string BasicUser(const wire::RequestHead& head) {
  constexpr std::string_view kScheme = "Basic ";
  const std::string_view text = head.fields.Get("authorization");
  if (!text.starts_with(kScheme)) return {};
  auto decoded = Base64Decode(text.substr(kScheme.size()));
  return decoded ? decoded->substr(0, decoded->find(':')) : std::string();
}

bool ProcessService::Handle(wire::Exchange& exchange, std::string_view method) {
  using Object = const json::object&;
  if (method == "Start") {
    ServeStream(exchange, [this](wire::Exchange& e, Object r) { return Start(e, r); });
  } else if (method == "Connect") {
    ServeStream(exchange, [this](wire::Exchange& e, Object r) { return Connect(e, r); });
  } else if (method == "List") {
    ServeUnary(exchange, [this](wire::Exchange&, Object) { return List(); });
  } else if (method == "Update") {
    ServeUnary(exchange, [this](wire::Exchange&, Object r) { return Update(r); });
  } else if (method == "SendInput") {
    ServeUnary(exchange, [this](wire::Exchange& e, Object r) { return SendInput(e, r); });
  } else if (method == "SendSignal") {
    ServeUnary(exchange, [this](wire::Exchange&, Object r) { return SendSignal(r); });
  } else if (method == "CloseStdin") {
    ServeUnary(exchange, [this](wire::Exchange&, Object r) { return CloseStdin(r); });
  } else if (method == "StreamInput") {
    ServeClientStream(exchange, [this](wire::Exchange& e) { return StreamInput(e); });
  } else {
    return false;
  }
  return true;
}

Result<Process::Options> ProcessService::MakeOptions(wire::Exchange& exchange,
                                                     const json::object& request) {
  Process::Options options;
  ASSIGN_OR_RETURN(options.request, wire::DecodeStartRequest(request));
  RETURN_IF_ERROR(CheckTexts(options.request));
  ASSIGN_OR_RETURN(options.user, settings_.FindUser(BasicUser(exchange.request())));
  options.switch_user = ::geteuid() == 0;
  options.environment = MakeEnvironment(options.user, options.request.pty.has_value(),
                                        settings_.environment(), options.request.process.envs);
  ASSIGN_OR_RETURN(options.cwd,
                   settings_.Resolve(options.request.process.cwd.value_or(""), options.user));
  if (!IsFolder(options.cwd)) {
    if (!options.request.process.cwd.value_or("").empty()) {
      return Fail(Code::kInvalidArgument, "cwd '{}' does not exist", options.cwd);
    }
    options.cwd = "/";  // a user without a home
  }
  ASSIGN_OR_RETURN(options.deadline, TimeLimit(exchange));
  return options;
}

Status ProcessService::Start(wire::Exchange& exchange, const json::object& request) {
  ASSIGN_OR_RETURN(Process::Options options, MakeOptions(exchange, request));
  ASSIGN_OR_RETURN(const auto events, Subscription::Make());
  ASSIGN_OR_RETURN(const auto process, processes_.Start(std::move(options), events));
  // The process's own end says that it was killed at the limit.
  return SendEvents(exchange, process->pid(), *events, Deadline::Never());
}

Status ProcessService::Connect(wire::Exchange& exchange, const json::object& request) {
  ASSIGN_OR_RETURN(const Deadline limit, TimeLimit(exchange));
  ASSIGN_OR_RETURN(const auto process, Selected(request, true));
  ASSIGN_OR_RETURN(const auto events, Subscription::Make());
  process->Subscribe(events);
  return SendEvents(exchange, process->pid(), *events, limit);
}

Result<std::shared_ptr<Process>> ProcessService::Selected(const json::object& request,
                                                          bool ended_too) {
  JsonReader reader(request);
  const json::object* process = reader.Object("process");
  RETURN_IF_ERROR(reader.Finish());
  if (!process) return Fail(Code::kInvalidArgument, "process is required");
  ASSIGN_OR_RETURN(const auto selector, wire::DecodeProcessSelector(*process));
  return processes_.Find(selector, ended_too);
}

Result<json::object> ProcessService::List() {
  json::array processes;
  for (const wire::ProcessInfo& info : processes_.List()) processes.push_back(wire::ToJson(info));
  json::object reply;
  reply["processes"] = std::move(processes);
  return reply;
}

Result<json::object> ProcessService::Update(const json::object& request) {
  ASSIGN_OR_RETURN(const auto process, Selected(request));
  JsonReader reader(request);
  const json::object* pty = reader.Object("pty");
  RETURN_IF_ERROR(reader.Finish());
  if (pty) {
    ASSIGN_OR_RETURN(const wire::PtySize size, wire::DecodePtySize(*pty));
    RETURN_IF_ERROR(process->Resize(size));
  }
  return json::object();
}

Result<json::object> ProcessService::SendInput(wire::Exchange& exchange,
                                               const json::object& request) {
  ASSIGN_OR_RETURN(const auto process, Selected(request));
  JsonReader reader(request);
  const json::object* input = reader.Object("input");
  RETURN_IF_ERROR(reader.Finish());
  if (!input) return Fail(Code::kInvalidArgument, "input is required");
  ASSIGN_OR_RETURN(const wire::ProcessInput data, wire::DecodeProcessInput(*input));
  ASSIGN_OR_RETURN(const Deadline limit, TimeLimit(exchange));
  RETURN_IF_ERROR(process->Write(data, exchange.client_fd(), limit));
  return json::object();
}

Result<json::object> ProcessService::SendSignal(const json::object& request) {
  ASSIGN_OR_RETURN(const auto process, Selected(request));
  const json::value* value = request.if_contains("signal");
  if (!value) return Fail(Code::kInvalidArgument, "signal is required");
  ASSIGN_OR_RETURN(const wire::Signal signal, wire::DecodeSignal(*value));
  RETURN_IF_ERROR(process->Signal(signal));
  return json::object();
}

Result<json::object> ProcessService::CloseStdin(const json::object& request) {
  ASSIGN_OR_RETURN(const auto process, Selected(request));
  RETURN_IF_ERROR(process->CloseStdin());
  return json::object();
}

Result<json::object> ProcessService::StreamInput(wire::Exchange& exchange) {
  std::shared_ptr<Process> process;
  for (;;) {
    // Keepalives come in between, so a long pause means that the client is lost.
    ASSIGN_OR_RETURN(const auto envelope,
                     wire::ReadEnvelope(exchange.body(), Deadline::After(kBodyPause)));
    if (!envelope || envelope->is_end()) return json::object();
    ASSIGN_OR_RETURN(const json::object message, ParseJsonObject(envelope->message));
    JsonReader reader(message);
    const json::object* start = reader.Object("start");
    const json::object* data = reader.Object("data");
    RETURN_IF_ERROR(reader.Finish());
    if (start) {
      ASSIGN_OR_RETURN(process, Selected(*start));
    } else if (data) {
      if (!process) return Fail(Code::kInvalidArgument, "the first message must be start");
      JsonReader fields(*data, "data");
      const json::object* input = fields.Object("input");
      RETURN_IF_ERROR(fields.Finish());
      if (!input) return Fail(Code::kInvalidArgument, "data.input is required");
      ASSIGN_OR_RETURN(const wire::ProcessInput bytes, wire::DecodeProcessInput(*input));
      RETURN_IF_ERROR(process->Write(bytes, exchange.client_fd(), Deadline::Never()));
    }
  }
}

}  // namespace wrenn::guest
