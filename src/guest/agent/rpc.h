// The serving side of the Connect protocol with JSON, on one HTTP exchange.
#pragma once

#include <functional>

#include "wire/connect.h"
#include "wire/http_server.h"

namespace wrenn::guest {

// A unary call: reads the request, calls, sends the answer or the error.
using UnaryHandler = std::function<Result<json::object>(wire::Exchange&, const json::object&)>;
void ServeUnary(wire::Exchange& exchange, const UnaryHandler& handler);

// The answering side of a stream.
class StreamWriter {
 public:
  explicit StreamWriter(wire::Exchange& exchange) : exchange_(exchange) {}
  // Sends the head and what is given as the first envelopes.
  Status Start(std::string_view envelopes);
  // Sends envelopes that are formatted already.
  Status Send(std::string_view envelopes);
  // Sends the last envelope, or takes it as sent, and ends the body.
  Status End(const std::optional<Error>& error);
  Status Finish();

 private:
  wire::Exchange& exchange_;
  wire::BodyWriter* writer_ = nullptr;
};

// A server stream: reads the one request envelope and calls; an error of the handler is sent as the
// end of the stream (with HTTP status 200), unless the stream has started.
using StreamHandler = std::function<Status(wire::Exchange&, const json::object&)>;
void ServeStream(wire::Exchange& exchange, const StreamHandler& handler);
// A client stream: the handler reads the envelopes itself and gives the one answer.
using ClientStreamHandler = std::function<Result<json::object>(wire::Exchange&)>;
void ServeClientStream(wire::Exchange& exchange, const ClientStreamHandler& handler);

// Connect-Timeout-Ms as a deadline; never for 0 or none. kInvalidArgument when malformed.
Result<Deadline> TimeLimit(const wire::Exchange& exchange);

// Keepalive-Ping-Interval in seconds, envd's 90 when absent or senseless.
std::chrono::seconds KeepAliveInterval(const wire::Exchange& exchange);

// An error in envd's plain form: {"code":404,"message":"..."}.
void RespondPlainError(wire::Exchange& exchange, const Error& error);

// How long a client may pause within the body of a request.
inline constexpr Deadline::Duration kBodyPause{300'000};

}  // namespace wrenn::guest
