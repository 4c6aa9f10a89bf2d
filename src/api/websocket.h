// WebSocket (RFC 6455) over a ByteStream, by wslay.
#pragma once

#include <memory>
#include <string>

#include "wire/byte_stream.h"
#include "wire/http.h"

namespace wrenn::api {

struct WebSocketMessage {
  enum class Type { kText, kBinary, kClose };
  Type type = Type::kText;
  std::string data;
};

// One end of an open WebSocket. One thread may receive while others send.
class WebSocket {
 public:
  // Messages beyond this length close the connection with status 1009.
  static constexpr size_t kMaxMessageBytes = 1 << 20;

  // The server's end: checks the request (kInvalidArgument when it is no upgrade) and sends the answer.
  static Result<std::unique_ptr<WebSocket>> Accept(wire::ByteStream& stream, const wire::RequestHead& request);
  // The client's end: sends the upgrade request and checks the answer. An answer other than 101 is an
  // error whose code follows from the HTTP status and whose message from the body.
  static Result<std::unique_ptr<WebSocket>> Connect(wire::ByteStream& stream, wire::RequestHead request,
                                                    Deadline deadline);
  virtual ~WebSocket() = default;

  // The next text or binary message; kClose when the other side closes (its close is answered). Pings
  // are answered within. kUnavailable when the connection breaks.
  virtual Result<WebSocketMessage> Receive(Deadline deadline) = 0;
  virtual Status SendText(std::string_view text, Deadline deadline) = 0;
  virtual Status SendBinary(std::string_view data, Deadline deadline) = 0;
  virtual Status SendClose(uint16_t status, std::string_view reason, Deadline deadline) = 0;
};

}  // namespace wrenn::api
