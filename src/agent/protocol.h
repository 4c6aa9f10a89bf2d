// What the client's parts share: reading the agent's answers.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/json.h"
#include "wire/connect.h"
#include "wire/http_client.h"

namespace wrenn::agent {

// The longest answers that are read whole: of a list, and of all others. What a guest says may take
// many times its length in memory, and many may say it at once.
inline constexpr size_t kMaxListBytes = 16 << 20;
inline constexpr size_t kMaxReplyBytes = 256 << 10;
inline constexpr size_t kMaxErrorBytes = 64 << 10;
// The most elements of a list. A folder of 50,000 entries fits into its bytes.
inline constexpr size_t kMaxListElements = 100'000;

// An answer that an honest agent would not give; `what` is for the log.
Error MakesNoSense(std::string what);

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
