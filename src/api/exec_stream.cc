// GET /v1/sandboxes/{id}/exec/stream: a command over a WebSocket.
#include "api/handlers.h"
#include "api/process_request.h"
#include "api/process_socket.h"
#include "api/text_chunks.h"
#include "base/encoding.h"

namespace wrenn::api {
namespace {

// Output as JSON text; input as JSON text or plain binary messages.
class ExecFormat final : public ProcessSession::Format {
 public:
  Status SendOutput(WebSocket& socket, const wire::ProcessOutput& output) override {
    const bool err = output.stream == wire::ProcessOutput::Stream::kStderr;
    return Send(socket, err, (err ? err_ : out_).Add(output.data));
  }

  Status Finish(WebSocket& socket) override {
    RETURN_IF_ERROR(Send(socket, false, out_.Finish()));
    return Send(socket, true, err_.Finish());
  }

  Status HandleMessage(ProcessSession& session, const WebSocketMessage& message) override {
    if (message.type == WebSocketMessage::Type::kBinary) {
      return session.SendInput({false, message.data});
    }
    ASSIGN_OR_RETURN(const json::object object, ParseJsonObject(message.data));
    JsonReader reader(object);
    const std::string type = reader.RequiredString("type");
    if (type == "stdin") return HandleInput(session, reader);
    const wire::Signal signal =
        type == "signal" ? ReadSignal(reader, "signal") : wire::Signal::kKill;
    RETURN_IF_ERROR(reader.FinishStrict());
    if (type == "stdin_close") return session.CloseStdin();
    if (type == "signal" || type == "stop") return session.SendSignal(signal);
    return Fail(Code::kInvalidArgument, "type must be stdin, stdin_close, signal or stop, not '{}'",
                type);
  }

 private:
  static Status Send(WebSocket& socket, bool err, const TextChunks::Piece& piece) {
    if (piece.data.empty()) return {};
    return socket.SendText(json::serialize(PieceMessage(err ? "stderr" : "stdout", piece)),
                           Deadline::Never());
  }

  static Status HandleInput(ProcessSession& session, JsonReader& reader) {
    if (!reader.Has("data")) reader.SetError("data is required");  // and may be empty
    std::string data = reader.String("data");
    const std::string encoding = reader.String("encoding", "utf-8");
    RETURN_IF_ERROR(reader.FinishStrict());
    if (encoding == "base64") {
      ASSIGN_OR_RETURN(data, Base64Decode(data));
    } else if (encoding != "utf-8") {
      return Fail(Code::kInvalidArgument, "encoding must be utf-8 or base64");
    }
    return session.SendInput({false, std::move(data)});
  }

  TextChunks out_;
  TextChunks err_;
};

// Does what the first message asks for; `limit` becomes the process's own.
Result<agent::Client::Started> Begin(Context& context, sandbox::Lease& lease,
                                     const json::object& first, Deadline& limit) {
  const Deadline deadline = Deadline::After(Context::kGuestLimit);
  JsonReader reader(first);
  const std::string type = reader.RequiredString("type");
  if (type == "attach") {
    ASSIGN_OR_RETURN(const wire::ProcessSelector process, ReadSelector(reader));
    RETURN_IF_ERROR(reader.FinishStrict());
    auto attached = lease.agent().Attach(process, deadline);
    if (!attached) return Fail(context.FromGuest(attached.error()));
    return attached;
  }
  if (type != "start") {
    return Fail(Code::kInvalidArgument, "the first message's type must be start or attach");
  }
  ProcessRequest request = ReadProcess(reader, 0);
  request.start.stdin_open = reader.Bool("stdin", false);
  RETURN_IF_ERROR(reader.FinishStrict());
  if (request.timeout.count()) limit = Deadline::After(request.timeout);
  auto started = lease.agent().Start(request.start, request.as, request.timeout, deadline);
  if (!started) {
    return Fail(context.FromGuest(ProcessError(started.error()), request.as.user));
  }
  return started;
}

}  // namespace

Status ExecStream(Context& context) {
  ExecFormat format;
  return ServeProcess(context, Begin, format);
}

}  // namespace wrenn::api
