// What the client's parts share: reading the agent's answers.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/json.h"
#include "wire/connect.h"
#include "wire/http_client.h"

namespace wrenn::agent {

// The longest answer that is read whole. A folder of 50,000 entries fits.
inline constexpr size_t kMaxReplyBytes = 32 << 20;
inline constexpr size_t kMaxErrorBytes = 64 << 10;

// A failure while reading an answer, as the caller of a guest sees it: bytes that make no sense are
// the guest's fault and never the caller's "invalid argument".
Error AsGuestFault(Error error);

// The error that an answer stands for whose status says failure; reads its body.
Error ReadFailure(wire::HttpClient& http, Deadline deadline);

// The next message of a Connect stream; nothing at its proper end. The error that the stream's end
// carries comes back as an error, a stream that ends without one is kUnavailable.
// kDeadlineExceeded leaves the stream as it was.
Result<std::optional<json::object>> NextMessage(wire::HttpClient& http, Deadline deadline);

}  // namespace wrenn::agent
