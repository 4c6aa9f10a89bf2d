#include "cli/guest_process.h"

#include <strings.h>

#include <csignal>
#include <cstring>

#include "base/encoding.h"
#include "cli/invocation.h"

namespace wrenn::cli {
namespace {

constexpr std::chrono::seconds kStartLimit{90};
constexpr size_t kWriteSize = 128 << 10;

json::object StartMessage(const ProcessOptions& options) {
  json::object message = {{"type", "start"}};
  if (!options.command.empty()) {
    message["cmd"] = options.command[0];
    message["args"] = json::array(options.command.begin() + 1, options.command.end());
  }
  if (!options.envs.empty()) message["envs"] = options.envs;
  if (!options.cwd.empty()) message["cwd"] = options.cwd;
  if (!options.user.empty()) message["user"] = options.user;
  if (options.timeout_sec > 0) message["timeout_sec"] = options.timeout_sec;
  if (options.terminal) {
    message["cols"] = options.terminal->cols;
    message["rows"] = options.terminal->rows;
  } else {
    message["stdin"] = options.stdin_open;
  }
  return message;
}

tl::unexpected<Error> Lost(const Error& error) {
  return Fail(Error{Code::kUnavailable, "the connection to the server was lost", error.ToString()});
}

// The error that a message of type "error" tells.
Error ErrorOfMessage(JsonReader& reader) {
  const Code code = CodeFromName(reader.String("code"));
  return Error{code, reader.String("data", "the server reported an error"), {}};
}

}  // namespace

int ShellExitCode(int exit_code, std::string_view status) {
  if (exit_code >= 0) return exit_code;
  constexpr std::string_view kMark = "signal: ";
  if (status == "timed out") return kSignalBase + SIGKILL;
  if (!status.starts_with(kMark)) return kOwnFailure;
  std::string name(status.substr(kMark.size()));
  name.erase(std::min(name.find(" (core dumped)"), name.size()));
  for (int signal = 1; signal < NSIG; ++signal) {
    const char* description = ::sigdescr_np(signal);
    if (description && ::strcasecmp(description, name.c_str()) == 0) return kSignalBase + signal;
  }
  return kOwnFailure;
}

Result<GuestProcess> GuestProcess::Start(const Api& api, const std::string& sandbox,
                                         const ProcessOptions& options) {
  const Deadline deadline = Deadline::After(kStartLimit);
  GuestProcess process(api, sandbox);
  ASSIGN_OR_RETURN(UniqueFd socket, api.ConnectSocket());
  process.stream_ = std::make_unique<wire::ByteStream>(std::move(socket));
  const auto target = SandboxTarget(sandbox, options.terminal ? "/pty" : "/exec/stream");
  ASSIGN_OR_RETURN(process.socket_, api::WebSocket::Connect(*process.stream_,
                                                            api.MakeHead("GET", target), deadline));
  RETURN_IF_ERROR(process.socket_->SendText(json::serialize(StartMessage(options)), deadline));
  ASSIGN_OR_RETURN(const api::WebSocketMessage message, process.socket_->Receive(deadline));
  if (message.type != api::WebSocketMessage::Type::kText) {
    return Fail(Code::kUnavailable, "the server closed the connection before the program's start");
  }
  ASSIGN_OR_RETURN(const json::object first, ParseJsonObject(message.data));
  JsonReader reader(first);
  const std::string type = reader.String("type");
  if (type == "error") return Fail(ErrorOfMessage(reader));
  process.pid_ = static_cast<uint32_t>(reader.Int("pid", 0, 0, UINT32_MAX));
  RETURN_IF_ERROR(reader.Finish());
  return process;
}

Result<ProcessOutput> GuestProcess::Next() {
  for (;;) {
    const auto message = socket_->Receive(Deadline::Never());
    if (!message) return Lost(message.error());
    if (message->type == api::WebSocketMessage::Type::kClose) {
      return Fail(Code::kUnavailable, "the server ended the connection: {}",
                  message->data.empty() ? "no reason given" : message->data);
    }
    ASSIGN_OR_RETURN(auto output, Decode(*message));
    if (output) return std::move(*output);
  }
}

// Nothing for a message that is no output.
Result<std::optional<ProcessOutput>> GuestProcess::Decode(const api::WebSocketMessage& message) {
  ProcessOutput output;
  if (message.type == api::WebSocketMessage::Type::kBinary) {
    output.data = message.data;
    return std::optional(std::move(output));
  }
  ASSIGN_OR_RETURN(const json::object object, ParseJsonObject(message.data));
  JsonReader reader(object);
  const std::string type = reader.String("type");
  if (type == "error") return Fail(ErrorOfMessage(reader));
  if (type == "exit") {
    output.kind = ProcessOutput::Kind::kExit;
    output.status = reader.String("status");
    output.exit_code = ShellExitCode(
        static_cast<int>(reader.Int("exit_code", -1, INT32_MIN, INT32_MAX)), output.status);
  } else if (type == "stdout" || type == "stderr") {
    if (type == "stderr") output.kind = ProcessOutput::Kind::kStderr;
    output.data =
        reader.String("encoding") == "base64" ? reader.Bytes("data") : reader.String("data");
  } else {
    return std::optional<ProcessOutput>();
  }
  RETURN_IF_ERROR(reader.Finish());
  return std::optional(std::move(output));
}

Status GuestProcess::Write(std::string_view data) {
  while (!data.empty()) {
    const std::string_view piece = data.substr(0, kWriteSize);
    RETURN_IF_ERROR(socket_->SendBinary(piece, Deadline::Never()));
    data.remove_prefix(piece.size());
  }
  return {};
}

Status GuestProcess::CloseStdin() {
  return socket_->SendText(R"({"type":"stdin_close"})", Deadline::Never());
}

Status GuestProcess::Resize(wire::PtySize size) {
  const json::object message = {{"type", "resize"}, {"cols", size.cols}, {"rows", size.rows}};
  return socket_->SendText(json::serialize(message), Deadline::Never());
}

Status GuestProcess::Signal(wire::Signal signal, std::shared_ptr<Interrupter> interrupter) const {
  Api api = api_;
  // Not the caller's of Start(): a signal can be sent after an interruption, too.
  api.set_interrupter(std::move(interrupter));
  // "SIGNAL_SIGINT" without its first word.
  const json::object body = {{"signal", wire::SignalName(signal).substr(std::strlen("SIGNAL_"))}};
  const auto sent =
      api.Call("POST", SandboxTarget(sandbox_, fmt::format("/processes/{}/signal", pid_)), &body);
  if (!sent && sent.error().code != Code::kNotFound) return Fail(sent.error());
  return {};
}

}  // namespace wrenn::cli
