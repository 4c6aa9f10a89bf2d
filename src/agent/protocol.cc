#include "agent/protocol.h"

namespace wrenn::agent {
namespace {

// A message comes in one piece; a guest that takes longer between its first byte and its last is
// stuck.
constexpr std::chrono::seconds kMessageLimit{60};

tl::unexpected<Error> StreamBroke(std::string detail) {
  return tl::unexpected<Error>(
      Error{Code::kUnavailable, "the guest broke the stream off", std::move(detail)});
}

}  // namespace

Error MakesNoSense(std::string what) {
  return {Code::kInternal, "the guest's agent gave an answer that makes no sense", std::move(what)};
}

Error AsGuestFault(Error error) {
  if (error.code == Code::kInvalidArgument || error.code == Code::kOutOfRange) {
    return MakesNoSense(error.ToString());
  }
  return error;
}

Error ReadFailure(wire::HttpClient& http, Deadline deadline) {
  auto body = http.body().ReadAll(kMaxErrorBytes, deadline);
  return wire::ParseUnaryError(http.response().status, body ? *body : std::string());
}

Result<std::optional<json::object>> NextMessage(wire::HttpClient& http, Deadline deadline) {
  // Waits for the first byte alone: a wait that ended within a message would lose its beginning.
  RETURN_IF_ERROR(http.stream().WaitReadable(deadline));
  auto envelope = wire::ReadEnvelope(http.body(), Deadline::After(kMessageLimit));
  if (!envelope) {
    Error error = AsGuestFault(std::move(envelope.error()));
    if (error.code == Code::kInternal) return Fail(std::move(error));
    return StreamBroke(error.ToString());
  }
  if (!*envelope) return StreamBroke("no end of stream");
  if ((*envelope)->is_end()) {
    auto end = wire::ParseEndOfStream((*envelope)->message);
    if (!end) return Fail(AsGuestFault(std::move(end.error())));
    if (*end) return Fail(std::move(**end));
    return std::optional<json::object>();
  }
  auto message = ParseJsonObject((*envelope)->message);
  if (!message) return Fail(AsGuestFault(std::move(message.error())));
  return std::optional<json::object>(std::move(*message));
}

}  // namespace wrenn::agent
