// WebSocketEnd: the frames of an open WebSocket, without the handshake.
#pragma once

#include <wslay/wslay.h>

#include <deque>
#include <mutex>

#include "api/websocket.h"

namespace wrenn::api {

// wslay keeps the state of both directions in one context, so `mutex_` guards it, and nothing
// blocks while holding it: received bytes are taken without waiting, frames to send are formed into
// a buffer. `send_mutex_` is held while that buffer is written, which keeps frames whole and in
// order.
class WebSocketEnd final : public WebSocket {
 public:
  enum class Role { kServer, kClient };

  // The stream is not owned and must outlive the object.
  static Result<std::unique_ptr<WebSocket>> Make(wire::ByteStream& stream, Role role);
  ~WebSocketEnd() override;

  Result<WebSocketMessage> Receive(Deadline deadline) override;
  Status SendText(std::string_view text, Deadline deadline) override;
  Status SendBinary(std::string_view data, Deadline deadline) override;
  Status SendPing(Deadline deadline) override;
  Status SendClose(uint16_t status, std::string_view reason, Deadline deadline) override;
  int fd() const override { return stream_.fd(); }
  bool HasBuffered() const override;

 private:
  explicit WebSocketEnd(wire::ByteStream& stream) : stream_(stream) {}

  // Queues one message and writes everything queued.
  Status Send(uint8_t opcode, std::string_view data, Deadline deadline);
  bool WantsToSend() const;
  // Writes what wslay has queued: our messages, its pongs and closes.
  Status Flush(Deadline deadline);
  // Hands the bytes that are there to wslay; whether there were any.
  Result<bool> TakeBytes();
  Result<WebSocketMessage> TakeMessage();

  static ssize_t OnRecv(wslay_event_context_ptr, uint8_t*, size_t, int, void*);
  static ssize_t OnSend(wslay_event_context_ptr, const uint8_t*, size_t, int, void*);
  static int OnMask(wslay_event_context_ptr, uint8_t*, size_t, void*);
  static void OnMessage(wslay_event_context_ptr, const wslay_event_on_msg_recv_arg*, void*);

  wire::ByteStream& stream_;
  mutable std::mutex mutex_;
  wslay_event_context_ptr context_ = nullptr;
  std::deque<WebSocketMessage> messages_;

  std::string incoming_;  // bytes for wslay, of which it took some; the receiving thread's own
  size_t available_ = 0;
  size_t taken_ = 0;

  std::mutex send_mutex_;
  std::string outgoing_;
  bool broken_ = false;  // a write was cut short: nothing can follow it
};

}  // namespace wrenn::api
