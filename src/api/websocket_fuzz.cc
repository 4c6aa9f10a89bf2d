// Frames of a hostile client, and its handshake: what comes out is bounded, and text is UTF-8.
#include <cstdint>
#include <cstdlib>

#include <sys/socket.h>

#include "api/websocket.h"
#include "base/encoding.h"

namespace wrenn::api {
namespace {

wire::RequestHead UpgradeRequest() {
  wire::RequestHead head;
  head.method = "GET";
  head.target = "/";
  head.fields.Add("Connection", "Upgrade");
  head.fields.Add("Upgrade", "websocket");
  head.fields.Add("Sec-WebSocket-Version", "13");
  head.fields.Add("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
  return head;
}

void ReceiveAll(std::string_view bytes) {
  auto pair = SocketPair();
  if (!pair) return;
  const Deadline deadline = Deadline::After(std::chrono::seconds(5));
  wire::ByteStream server(std::move(pair->second));
  auto socket = WebSocket::Accept(server, UpgradeRequest(), deadline);
  if (!socket || !WriteAll(pair->first.get(), bytes, deadline)) return;
  // Half closed, so that answers still find a reader's buffer.
  ::shutdown(pair->first.get(), SHUT_WR);
  for (;;) {
    const auto message = (*socket)->Receive(deadline);
    if (!message || message->type == WebSocketMessage::Type::kClose) return;
    if (message->data.size() > WebSocket::kMaxMessageBytes) std::abort();
    if (message->type == WebSocketMessage::Type::kText && !IsUtf8(message->data)) std::abort();
  }
}

}  // namespace
}  // namespace wrenn::api

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size < 65536 ? size : 65536);
  wrenn::api::ReceiveAll(bytes);
  return 0;
}
