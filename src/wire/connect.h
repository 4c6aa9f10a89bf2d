// The Connect protocol with JSON (https://connectrpc.com/docs/protocol): envelopes and errors.
#pragma once

#include <optional>
#include <string>

#include "base/json.h"
#include "wire/http_body.h"

namespace wrenn::wire {

inline constexpr std::string_view kConnectUnaryType = "application/json";
inline constexpr std::string_view kConnectStreamType = "application/connect+json";

// Flags of an envelope: one byte, then a big-endian u32 length, then the message.
inline constexpr unsigned char kEnvelopeCompressed = 0x01;
inline constexpr unsigned char kEnvelopeEnd = 0x02;

// The longest message of an envelope that is read; nothing is allocated by a longer length.
inline constexpr size_t kMaxEnvelopeBytes = 4 << 20;

struct Envelope {
  unsigned char flags = 0;
  std::string message;
  bool is_end() const { return flags & kEnvelopeEnd; }
};

std::string FormatEnvelope(unsigned char flags, std::string_view message);

// Reads the next envelope off a body; nothing at the body's end. kInvalidArgument for a length
// beyond the limit or a compressed envelope, kUnavailable for a body that ends within one.
Result<std::optional<Envelope>> ReadEnvelope(BodyReader& body, Deadline deadline);

// The final envelope of a stream: {} or {"error":{"code","message"}}.
std::string FormatEndOfStream(const std::optional<Error>& error);
// The error of a final envelope's message, if it carries one.
Result<std::optional<Error>> ParseEndOfStream(std::string_view message);

// The body of a unary error answer; its HTTP status is HttpStatus(code).
std::string FormatUnaryError(const Error& error);
// The error that an answer other than 200 stands for, its body given.
Error ParseUnaryError(int http_status, std::string_view body);

}  // namespace wrenn::wire
