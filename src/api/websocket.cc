#include <algorithm>
#include <cstring>

#include "api/websocket_end.h"
#include "base/encoding.h"
#include "base/id.h"

namespace wrenn::api {
namespace {

constexpr size_t kReadSize = 16 << 10;
// For pongs and answers to a close, which no caller waits for.
constexpr Deadline::Duration kControlLimit{60'000};
// A control frame carries at most 125 bytes, of a close two are its status.
constexpr size_t kMaxReason = 122;

}  // namespace

Result<std::unique_ptr<WebSocket>> WebSocketEnd::Make(wire::ByteStream& stream, Role role) {
  std::unique_ptr<WebSocketEnd> end(new WebSocketEnd(stream));
  wslay_event_callbacks callbacks{};
  callbacks.recv_callback = OnRecv;
  callbacks.send_callback = OnSend;
  callbacks.genmask_callback = OnMask;
  callbacks.on_msg_recv_callback = OnMessage;
  const int error = role == Role::kServer
                        ? wslay_event_context_server_init(&end->context_, &callbacks, end.get())
                        : wslay_event_context_client_init(&end->context_, &callbacks, end.get());
  if (error != 0) return Fail(Code::kResourceExhausted, "out of memory for a WebSocket");
  wslay_event_config_set_max_recv_msg_length(end->context_, kMaxMessageBytes);
  return std::unique_ptr<WebSocket>(std::move(end));
}

WebSocketEnd::~WebSocketEnd() {
  if (context_) wslay_event_context_free(context_);
}

ssize_t WebSocketEnd::OnRecv(wslay_event_context_ptr context, uint8_t* out, size_t size, int,
                             void* user) {
  auto* self = static_cast<WebSocketEnd*>(user);
  const size_t count = std::min(size, self->available_ - self->taken_);
  if (count == 0) {
    wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
    return -1;
  }
  std::memcpy(out, self->incoming_.data() + self->taken_, count);
  self->taken_ += count;
  return static_cast<ssize_t>(count);
}

ssize_t WebSocketEnd::OnSend(wslay_event_context_ptr, const uint8_t* data, size_t size, int,
                             void* user) {
  static_cast<WebSocketEnd*>(user)->outgoing_.append(reinterpret_cast<const char*>(data), size);
  return static_cast<ssize_t>(size);
}

int WebSocketEnd::OnMask(wslay_event_context_ptr, uint8_t* out, size_t size, void*) {
  const std::string mask = RandomBytes(size);
  std::memcpy(out, mask.data(), size);
  return 0;
}

void WebSocketEnd::OnMessage(wslay_event_context_ptr, const wslay_event_on_msg_recv_arg* arg,
                             void* user) {
  auto* self = static_cast<WebSocketEnd*>(user);
  WebSocketMessage message;
  std::string_view data(reinterpret_cast<const char*>(arg->msg), arg->msg_length);
  switch (arg->opcode) {
    case WSLAY_TEXT_FRAME:
      break;
    case WSLAY_BINARY_FRAME:
      message.type = WebSocketMessage::Type::kBinary;
      break;
    case WSLAY_CONNECTION_CLOSE:
      message.type = WebSocketMessage::Type::kClose;
      message.close_status = arg->status_code ? arg->status_code : 1005;
      data.remove_prefix(std::min<size_t>(data.size(), 2));  // the status itself
      break;
    default:
      return;  // pings are answered by wslay, pongs need nothing
  }
  message.data = data;
  self->messages_.push_back(std::move(message));
}

bool WebSocketEnd::HasBuffered() const {
  std::lock_guard lock(mutex_);
  return !messages_.empty() || stream_.HasBuffered();
}

Result<bool> WebSocketEnd::TakeBytes() {
  incoming_.resize(kReadSize);
  auto got = stream_.Read(incoming_, Deadline::After(Deadline::Duration(0)));
  if (!got && got.error().code == Code::kDeadlineExceeded) return false;
  if (!got) return Fail(Code::kUnavailable, "the WebSocket broke: {}", got.error().message);
  if (*got == 0) return Fail(Code::kUnavailable, "the WebSocket was closed without a close frame");
  available_ = *got;
  taken_ = 0;
  std::lock_guard lock(mutex_);
  if (wslay_event_recv(context_) != 0) return Fail(Code::kUnavailable, "the WebSocket broke");
  return true;
}

Result<WebSocketMessage> WebSocketEnd::TakeMessage() {
  std::lock_guard lock(mutex_);
  if (!messages_.empty()) {
    WebSocketMessage message = std::move(messages_.front());
    messages_.pop_front();
    return message;
  }
  if (!wslay_event_get_read_enabled(context_)) {
    // wslay reads no more and has queued a close of its own: the other side broke a rule.
    return Fail(Code::kUnavailable, "the WebSocket's other end broke the protocol");
  }
  return Fail(Code::kDeadlineExceeded, "timed out");
}

Result<WebSocketMessage> WebSocketEnd::Receive(Deadline deadline) {
  for (;;) {
    auto message = TakeMessage();
    if (message || message.error().code != Code::kDeadlineExceeded) {
      // A close is answered before it is told; whether the answer arrives changes nothing.
      const bool closing = !message || message->type == WebSocketMessage::Type::kClose;
      if (closing && WantsToSend()) {
        [[maybe_unused]] auto sent = Flush(Deadline::After(kControlLimit));
      }
      return message;
    }
    ASSIGN_OR_RETURN(const bool any, TakeBytes());
    if (any) {
      if (WantsToSend()) RETURN_IF_ERROR(Flush(Deadline::After(kControlLimit)));
    } else {
      RETURN_IF_ERROR(stream_.WaitReadable(deadline));
    }
  }
}

bool WebSocketEnd::WantsToSend() const {
  std::lock_guard lock(mutex_);
  return wslay_event_want_write(context_);
}

Status WebSocketEnd::Flush(Deadline deadline) {
  std::lock_guard sending(send_mutex_);
  if (broken_) return Fail(Code::kUnavailable, "the WebSocket is broken");
  {
    std::lock_guard lock(mutex_);
    outgoing_.clear();
    broken_ = wslay_event_send(context_) != 0;
  }
  auto written = stream_.Write(outgoing_, deadline);
  if (written) return {};
  broken_ = true;
  return Fail(Code::kUnavailable, "the WebSocket broke: {}", written.error().message);
}

Status WebSocketEnd::Send(uint8_t opcode, std::string_view data, Deadline deadline) {
  const wslay_event_msg message{opcode, reinterpret_cast<const uint8_t*>(data.data()), data.size()};
  {
    std::lock_guard lock(mutex_);
    if (wslay_event_queue_msg(context_, &message) != 0) {
      return Fail(Code::kUnavailable, "the WebSocket is closed");
    }
  }
  return Flush(deadline);
}

Status WebSocketEnd::SendText(std::string_view text, Deadline deadline) {
  return Send(WSLAY_TEXT_FRAME, text, deadline);
}

Status WebSocketEnd::SendBinary(std::string_view data, Deadline deadline) {
  return Send(WSLAY_BINARY_FRAME, data, deadline);
}

Status WebSocketEnd::SendPing(Deadline deadline) { return Send(WSLAY_PING, {}, deadline); }

Status WebSocketEnd::SendClose(uint16_t status, std::string_view reason, Deadline deadline) {
  reason = reason.substr(0, kMaxReason);
  // Do not tear a character: a close's reason must be UTF-8.
  while (!reason.empty() && !IsUtf8(reason)) reason.remove_suffix(1);
  {
    std::lock_guard lock(mutex_);
    if (wslay_event_queue_close(context_, status, reinterpret_cast<const uint8_t*>(reason.data()),
                                reason.size()) != 0) {
      return Fail(Code::kUnavailable, "the WebSocket is closed");
    }
  }
  return Flush(deadline);
}

}  // namespace wrenn::api
