#include "guest/agent/rpc.h"

#include <charconv>

#include "guest/files/entries.h"

namespace wrenn::guest {
namespace {

// A year: no limit of a client is longer in earnest, and none overflows a deadline.
constexpr int64_t kMaxTimeLimitMs = 24LL * 3600 * 1000 * 365;

std::optional<int64_t> ParseNumber(std::string_view text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0) return std::nullopt;
  return number;
}

bool CheckType(wire::Exchange& exchange, std::string_view expected) {
  std::string_view type = exchange.request().fields.Get("content-type");
  type = type.substr(0, type.find(';'));
  if (type == expected) return true;
  exchange.AddField("Accept-Post", std::string(expected));
  RespondPlainError(
      exchange, {Code::kInvalidArgument, fmt::format("the content type must be {}", expected), {}});
  return false;
}

void RespondUnary(wire::Exchange& exchange, const Result<json::object>& result) {
  [[maybe_unused]] const Status sent =
      result ? exchange.Respond(200, wire::kConnectUnaryType, json::serialize(*result))
             : exchange.Respond(HttpStatus(result.error().code), wire::kConnectUnaryType,
                                wire::FormatUnaryError(result.error()));
}

Result<json::object> ReadUnaryRequest(wire::Exchange& exchange) {
  auto body = exchange.body().ReadAll(wire::kMaxEnvelopeBytes, Deadline::After(kBodyPause));
  if (!body) {
    if (body.error().code != Code::kOutOfRange) return Fail(std::move(body.error()));
    return Fail(Code::kResourceExhausted, "a request must not be longer than {} bytes",
                wire::kMaxEnvelopeBytes);
  }
  return ParseJsonObject(*body);
}

Result<json::object> ReadStreamRequest(wire::Exchange& exchange) {
  ASSIGN_OR_RETURN(const auto envelope,
                   wire::ReadEnvelope(exchange.body(), Deadline::After(kBodyPause)));
  if (!envelope || envelope->is_end()) {
    return Fail(Code::kInvalidArgument, "the request must be one message");
  }
  return ParseJsonObject(envelope->message);
}

void EndWithError(wire::Exchange& exchange, const Error& error) {
  StreamWriter writer(exchange);
  if (writer.Start(wire::FormatEndOfStream(error))) {
    [[maybe_unused]] auto finished = writer.Finish();
  }
}

}  // namespace

void ServeUnary(wire::Exchange& exchange, const UnaryHandler& handler) {
  if (!CheckType(exchange, wire::kConnectUnaryType)) return;
  auto request = ReadUnaryRequest(exchange);
  if (!request) return RespondUnary(exchange, Fail(std::move(request.error())));
  auto result = handler(exchange, *request);
  if (!exchange.answered()) RespondUnary(exchange, result);
}

Status StreamWriter::Start(std::string_view envelopes) {
  ASSIGN_OR_RETURN(writer_, exchange_.StartBody(200, wire::kConnectStreamType));
  return Send(envelopes);
}

Status StreamWriter::Send(std::string_view envelopes) {
  return writer_->Write(envelopes, exchange_.WriteDeadline());
}

Status StreamWriter::End(const std::optional<Error>& error) {
  RETURN_IF_ERROR(Send(wire::FormatEndOfStream(error)));
  return Finish();
}

Status StreamWriter::Finish() { return exchange_.FinishBody(); }

void ServeStream(wire::Exchange& exchange, const StreamHandler& handler) {
  if (!CheckType(exchange, wire::kConnectStreamType)) return;
  auto request = ReadStreamRequest(exchange);
  if (!request) return EndWithError(exchange, request.error());
  auto served = handler(exchange, *request);
  if (!served && !exchange.answered()) EndWithError(exchange, served.error());
}

void ServeClientStream(wire::Exchange& exchange, const ClientStreamHandler& handler) {
  if (!CheckType(exchange, wire::kConnectStreamType)) return;
  auto result = handler(exchange);
  if (!result) return EndWithError(exchange, result.error());
  StreamWriter writer(exchange);
  if (writer.Start(wire::FormatEnvelope(0, json::serialize(*result)))) {
    [[maybe_unused]] auto ended = writer.End(std::nullopt);
  }
}

Result<Deadline> TimeLimit(const wire::Exchange& exchange) {
  const std::string* text = exchange.request().fields.Find("connect-timeout-ms");
  if (!text) return Deadline::Never();
  const auto limit = ParseNumber(*text);
  if (!limit || *limit > kMaxTimeLimitMs) {
    return Fail(Code::kInvalidArgument, "Connect-Timeout-Ms must be a number of milliseconds");
  }
  return *limit == 0 ? Deadline::Never() : Deadline::After(Deadline::Duration(*limit));
}

std::chrono::seconds KeepAliveInterval(const wire::Exchange& exchange) {
  constexpr std::chrono::seconds kDefault{90};
  const auto seconds = ParseNumber(exchange.request().fields.Get("keepalive-ping-interval"));
  if (!seconds || *seconds < 1 || *seconds > 3600) return kDefault;
  return std::chrono::seconds(*seconds);
}

void RespondPlainError(wire::Exchange& exchange, const Error& error) {
  const int status = error.detail == kDiskFull ? 507 : HttpStatus(error.code);
  json::object body;
  body["code"] = status;
  body["message"] = error.message;
  [[maybe_unused]] auto sent = exchange.Respond(status, "application/json", json::serialize(body));
}

}  // namespace wrenn::guest
