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
  std::string data;           // of kClose: the reason
  uint16_t close_status = 0;  // of kClose: 1005 when the other side gave none
};

// Status codes of a close (RFC 6455 section 7.4.1).
inline constexpr uint16_t kCloseNormal = 1000;
inline constexpr uint16_t kCloseGoingAway = 1001;
inline constexpr uint16_t kClosePolicy = 1008;
inline constexpr uint16_t kCloseInternal = 1011;

// One end of an open WebSocket. One thread may receive while others send.
class WebSocket {
 public:
  // Messages beyond this length close the connection with status 1009.
  static constexpr size_t kMaxMessageBytes = 1 << 20;

  // Whether a request may be upgraded: kInvalidArgument when it asks for no WebSocket of version
  // 13; kPermissionDenied when a browser sends it from a page of another server (its Origin is not
  // Host).
  static Status CheckUpgrade(const wire::RequestHead& request);
  // The server's end: checks the request as above and sends the answer. The stream is not owned.
  static Result<std::unique_ptr<WebSocket>> Accept(wire::ByteStream& stream,
                                                   const wire::RequestHead& request,
                                                   Deadline deadline);
  // The client's end: sends the upgrade request and checks the answer. An answer other than 101 is
  // an error whose code and message come from the body, or the code from the HTTP status.
  static Result<std::unique_ptr<WebSocket>> Connect(wire::ByteStream& stream,
                                                    wire::RequestHead request, Deadline deadline);
  virtual ~WebSocket() = default;

  // The next text or binary message; kClose when the other side closes (its close is answered).
  // Pings are answered within. kUnavailable when the connection breaks. After kDeadlineExceeded the
  // call can be made again: what came so far is kept.
  virtual Result<WebSocketMessage> Receive(Deadline deadline) = 0;
  // Returns when the kernel has the whole message. A deadline that passes breaks the connection.
  virtual Status SendText(std::string_view text, Deadline deadline) = 0;
  virtual Status SendBinary(std::string_view data, Deadline deadline) = 0;
  virtual Status SendPing(Deadline deadline) = 0;
  // The reason is cut to what a close can carry. Nothing can be sent afterwards.
  virtual Status SendClose(uint16_t status, std::string_view reason, Deadline deadline) = 0;

  // Readable when Receive() has something to do; but first ask HasBuffered().
  virtual int fd() const = 0;
  virtual bool HasBuffered() const = 0;
};

}  // namespace wrenn::api
