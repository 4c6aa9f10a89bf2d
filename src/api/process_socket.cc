#include "api/process_socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace wrenn::api {
namespace {

// For the first message, and for the answer to a close.
constexpr Deadline::Duration kFirstLimit{30'000};
constexpr Deadline::Duration kCloseLimit{5'000};

// A peer that is gone without a word (its machine lost power) is noticed in two minutes.
void WatchPeer(int fd) {
  const auto set = [fd](int level, int name, int value) {
    ::setsockopt(fd, level, name, &value, sizeof value);  // fails harmlessly on unix sockets
  };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 60);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 15);
  set(IPPROTO_TCP, TCP_KEEPCNT, 4);
}

Result<json::object> ReceiveFirst(WebSocket& socket) {
  auto message = socket.Receive(Deadline::After(kFirstLimit));
  if (!message && message.error().code == Code::kDeadlineExceeded) {
    return Fail(Code::kInvalidArgument, "the first message did not come within {} s",
                kFirstLimit.count() / 1000);
  }
  if (!message) return Fail(std::move(message.error()));
  if (message->type == WebSocketMessage::Type::kClose) {
    return Fail(Code::kCanceled, "the client went away");
  }
  if (message->type != WebSocketMessage::Type::kText) {
    return Fail(Code::kInvalidArgument, "the first message must be JSON text");
  }
  return ParseJsonObject(message->data);
}

// Tells the client why nothing follows, and closes. Returns the error, for the log.
Status Refuse(const Context& context, WebSocket& socket, Error error) {
  const Deadline deadline = Deadline::After(kCloseLimit);
  if (SendError(context, socket, error) && socket.SendClose(kClosePolicy, "", deadline)) {
    // Read until the client's close, so that what was sent is not lost in a reset.
    for (;;) {
      const auto message = socket.Receive(deadline);
      if (!message || message->type == WebSocketMessage::Type::kClose) break;
    }
  }
  return Fail(std::move(error));
}

}  // namespace

Status ServeProcess(Context& context, BeginProcess begin, ProcessSession::Format& format) {
  RETURN_IF_ERROR(WebSocket::CheckUpgrade(context.exchange.request()));
  ASSIGN_OR_RETURN(const auto lease, context.UseSandbox());

  wire::ByteStream& stream = context.exchange.Upgrade();
  WatchPeer(stream.fd());
  ASSIGN_OR_RETURN(const auto socket, WebSocket::Accept(stream, context.exchange.request(),
                                                        context.exchange.WriteDeadline()));
  const auto first = ReceiveFirst(*socket);
  if (!first) return Refuse(context, *socket, first.error());
  Deadline limit = Deadline::Never();
  auto started = begin(context, *lease, *first, limit);
  if (!started) return Refuse(context, *socket, std::move(started.error()));
  auto session = ProcessSession::Make(context, *socket, *lease, std::move(*started), limit, format);
  if (!session) return Refuse(context, *socket, std::move(session.error()));
  (*session)->Run(stream);
  return {};
}

}  // namespace wrenn::api
