#include "wire/connect.h"

#include <algorithm>
#include <array>

namespace wrenn::wire {
namespace {

constexpr size_t kEnvelopeHead = 5;

json::object ErrorObject(const Error& error) {
  json::object object;
  object["code"] = CodeName(error.code);
  object["message"] = error.message;
  return object;
}

// What an HTTP status says when the body does not say it better.
Code CodeOfStatus(int status) {
  switch (status) {
    case 400:
      return Code::kInvalidArgument;
    case 401:
      return Code::kUnauthenticated;
    case 403:
      return Code::kPermissionDenied;
    case 404:
      return Code::kNotFound;
    case 409:
      return Code::kAborted;
    case 416:
      return Code::kOutOfRange;
    case 429:
    case 507:
      return Code::kResourceExhausted;
    case 499:
      return Code::kCanceled;
    case 500:
      return Code::kInternal;
    case 501:
      return Code::kUnimplemented;
    case 502:
    case 503:
    case 504:
      return Code::kUnavailable;
    default:
      return Code::kUnknown;
  }
}

// Reads exactly out.size() bytes; how many there were before the body ended.
Result<size_t> ReadFull(BodyReader& body, std::span<char> out, Deadline deadline) {
  size_t have = 0;
  while (have < out.size()) {
    ASSIGN_OR_RETURN(const size_t got, body.Read(out.subspan(have), deadline));
    if (got == 0) break;
    have += got;
  }
  return have;
}

tl::unexpected<Error> CutShort() {
  return Fail(Code::kUnavailable, "the stream ended within a message");
}

}  // namespace

std::string FormatEnvelope(unsigned char flags, std::string_view message) {
  const auto size = static_cast<uint32_t>(message.size());
  std::string envelope;
  envelope.reserve(kEnvelopeHead + message.size());
  envelope.push_back(static_cast<char>(flags));
  for (int shift = 24; shift >= 0; shift -= 8) {
    envelope.push_back(static_cast<char>(size >> shift & 0xFF));
  }
  envelope.append(message);
  return envelope;
}

Result<std::optional<Envelope>> ReadEnvelope(BodyReader& body, Deadline deadline) {
  std::array<char, kEnvelopeHead> head;
  ASSIGN_OR_RETURN(const size_t got, ReadFull(body, head, deadline));
  if (got == 0) return std::optional<Envelope>();
  if (got < head.size()) return CutShort();

  Envelope envelope;
  envelope.flags = static_cast<unsigned char>(head[0]);
  size_t left = 0;
  for (size_t i = 1; i < head.size(); ++i) left = left << 8 | static_cast<unsigned char>(head[i]);
  if (left > kMaxEnvelopeBytes) {
    return Fail(Code::kInvalidArgument, "a message of {} bytes is longer than {} bytes", left,
                kMaxEnvelopeBytes);
  }
  if (envelope.flags & kEnvelopeCompressed) {
    return Fail(Code::kInvalidArgument, "compressed messages are not supported");
  }
  char buffer[16 << 10];
  while (left > 0) {
    const std::span<char> room(buffer, std::min(left, sizeof buffer));
    ASSIGN_OR_RETURN(const size_t more, body.Read(room, deadline));
    if (more == 0) return CutShort();
    envelope.message.append(buffer, more);
    left -= more;
  }
  return std::optional<Envelope>(std::move(envelope));
}

std::string FormatEndOfStream(const std::optional<Error>& error) {
  json::object end;
  if (error) end["error"] = ErrorObject(*error);
  return FormatEnvelope(kEnvelopeEnd, json::serialize(end));
}

Result<std::optional<Error>> ParseEndOfStream(std::string_view message) {
  ASSIGN_OR_RETURN(const json::object end, ParseJsonObject(message));
  JsonReader reader(end);
  const json::object* object = reader.Object("error");
  RETURN_IF_ERROR(reader.Finish());
  if (!object) return std::optional<Error>();
  JsonReader fields(*object, "error");
  Error error;
  error.code = CodeFromName(fields.String("code"));
  error.message = fields.String("message");
  RETURN_IF_ERROR(fields.Finish());
  return std::optional<Error>(std::move(error));
}

std::string FormatUnaryError(const Error& error) { return json::serialize(ErrorObject(error)); }

Error ParseUnaryError(int http_status, std::string_view body) {
  Error error{CodeOfStatus(http_status), fmt::format("HTTP status {}", http_status), {}};
  auto object = ParseJsonObject(body);
  if (!object) return error;
  // The code is a name in Connect's errors and a number (the status again) in envd's plain ones.
  if (const json::value* code = object->if_contains("code"); code && code->is_string()) {
    error.code = CodeFromName(std::string_view(code->get_string()));
  }
  if (const json::value* text = object->if_contains("message"); text && text->is_string()) {
    error.message = std::string(text->get_string());
  }
  return error;
}

}  // namespace wrenn::wire
