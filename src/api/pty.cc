// GET /v1/sandboxes/{id}/pty: a terminal over a WebSocket.
#include "api/handlers.h"
#include "api/process_request.h"
#include "api/process_socket.h"

namespace wrenn::api {
namespace {

constexpr int64_t kMaxSide = 4096;

// A login shell: bash where the sandbox has it.
constexpr const char* kShell = "/bin/sh";
constexpr const char* kShellScript = "[ -x /bin/bash ] && exec /bin/bash -l; exec /bin/sh -l";

wire::PtySize ReadSize(JsonReader& reader) {
  wire::PtySize size;
  size.cols = static_cast<uint32_t>(reader.Int("cols", size.cols, 1, kMaxSide));
  size.rows = static_cast<uint32_t>(reader.Int("rows", size.rows, 1, kMaxSide));
  return size;
}

// The terminal's bytes are binary messages both ways; text is for everything else.
class PtyFormat final : public ProcessSession::Format {
 public:
  Status SendOutput(WebSocket& socket, const wire::ProcessOutput& output) override {
    return socket.SendBinary(output.data, Deadline::Never());
  }

  Status Finish(WebSocket&) override { return {}; }

  Status HandleMessage(ProcessSession& session, const WebSocketMessage& message) override {
    if (message.type == WebSocketMessage::Type::kBinary) {
      return session.SendInput({true, message.data});
    }
    ASSIGN_OR_RETURN(const json::object object, ParseJsonObject(message.data));
    JsonReader reader(object);
    const std::string type = reader.RequiredString("type");
    if (type == "resize") {
      if (!reader.Has("cols") || !reader.Has("rows")) reader.SetError("cols and rows are required");
      const wire::PtySize size = ReadSize(reader);
      RETURN_IF_ERROR(reader.FinishStrict());
      return session.Resize(size);
    }
    const wire::Signal signal =
        type == "signal" ? ReadSignal(reader, "signal") : wire::Signal::kKill;
    RETURN_IF_ERROR(reader.FinishStrict());
    if (type == "signal" || type == "stop") return session.SendSignal(signal);
    return Fail(Code::kInvalidArgument, "type must be resize, signal or stop, not '{}'", type);
  }
};

Result<agent::Client::Started> Attach(Context& context, sandbox::Lease& lease, JsonReader& reader) {
  ASSIGN_OR_RETURN(const wire::ProcessSelector process, ReadSelector(reader));
  const bool resize = reader.Has("cols") || reader.Has("rows");
  const wire::PtySize size = ReadSize(reader);
  RETURN_IF_ERROR(reader.FinishStrict());
  const Deadline deadline = Deadline::After(Context::kGuestLimit);
  auto attached = lease.agent().Attach(process, deadline);
  if (!attached) return Fail(context.FromGuest(attached.error()));
  if (resize) {
    // The new size also makes full-screen programs draw themselves anew.
    auto resized = lease.agent().Resize(process, size, deadline);
    if (!resized) return Fail(context.FromGuest(resized.error()));
  }
  return attached;
}

Result<agent::Client::Started> Begin(Context& context, sandbox::Lease& lease,
                                     const json::object& first, Deadline& limit) {
  JsonReader reader(first);
  const std::string type = reader.RequiredString("type");
  if (type == "attach") return Attach(context, lease, reader);
  if (type != "start") {
    return Fail(Code::kInvalidArgument, "the first message's type must be start or attach");
  }
  ProcessRequest request = ReadProcess(reader, 0, kShell);
  if (!reader.Has("cmd")) request.start.process.args = {"-c", kShellScript};
  request.start.process.envs.try_emplace("TERM", "xterm-256color");
  request.start.pty = ReadSize(reader);
  RETURN_IF_ERROR(reader.FinishStrict());
  if (request.timeout.count()) limit = Deadline::After(request.timeout);
  auto started = lease.agent().Start(request.start, request.as, request.timeout,
                                     Deadline::After(Context::kGuestLimit));
  if (!started) {
    return Fail(context.FromGuest(ProcessError(started.error()), request.as.user));
  }
  return started;
}

}  // namespace

Status Pty(Context& context) {
  PtyFormat format;
  return ServeProcess(context, Begin, format);
}

}  // namespace wrenn::api
