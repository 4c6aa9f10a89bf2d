// HTTP/1.1 messages (RFC 9112): heads as values, strictly parsed; bodies as streams.
//
// One implementation for the agent in the guest, the agent's client, the API and the command line.
// Both ends may be hostile, so whatever two readers could understand differently is refused: bare
// LF, folded lines, Content-Length beside Transfer-Encoding, repeated lengths or hosts, spaces
// before a colon.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace wrenn::wire {

// Header fields in order; names compare without case.
class Fields {
 public:
  void Add(std::string name, std::string value);
  // Replaces every field of that name.
  void Set(std::string_view name, std::string value);
  // The first field of that name, or null.
  const std::string* Find(std::string_view name) const;
  // The same, or an empty text.
  std::string_view Get(std::string_view name) const;
  size_t Count(std::string_view name) const;
  // Whether a comma-separated field holds this token ("Connection: keep-alive, Upgrade").
  bool HasToken(std::string_view name, std::string_view token) const;

  const std::vector<std::pair<std::string, std::string>>& all() const { return all_; }

 private:
  std::vector<std::pair<std::string, std::string>> all_;
};

struct RequestHead {
  std::string method;
  std::string target;     // as on the wire: path and query, still percent-encoded
  int minor_version = 1;  // HTTP/1.x
  Fields fields;

  std::string_view path() const;   // still percent-encoded
  std::string_view query() const;  // behind '?', or empty
  // The first query parameter of that name, decoded.
  std::optional<std::string> Param(std::string_view name) const;
};

struct ResponseHead {
  int status = 200;
  int minor_version = 1;
  Fields fields;
};

// The longest head that is read.
inline constexpr size_t kMaxHeadBytes = 32 << 10;
inline constexpr size_t kMaxFields = 100;

// Parses a head; `text` ends with the blank line. kInvalidArgument when malformed.
Result<RequestHead> ParseRequestHead(std::string_view text);
Result<ResponseHead> ParseResponseHead(std::string_view text);

// A head as text, always of HTTP/1.1. No value can break out of its line; a request without a Host
// gets "localhost".
std::string FormatRequestHead(const RequestHead& head);
std::string FormatResponseHead(const ResponseHead& head);

std::string_view ReasonPhrase(int status);

// How the end of a message's body is found.
struct BodyLength {
  enum class Kind { kFixed, kChunked, kUntilClose };
  Kind kind = Kind::kFixed;
  uint64_t bytes = 0;  // for kFixed
};

// The body of a request, or of the response to a request with `method`, by RFC 9112 section 6.3.
Result<BodyLength> RequestBodyLength(const RequestHead& head);
Result<BodyLength> ResponseBodyLength(const ResponseHead& head, std::string_view method);

}  // namespace wrenn::wire
