// Error and its codes: why something could not be done, in words for the user.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace wrenn {

// The kinds of failure, one per way a caller can react. They are the Connect protocol's codes
// (https://connectrpc.com/docs/protocol#error-codes), so they cross the wire unchanged.
enum class Code {
  kCanceled,
  kUnknown,
  kInvalidArgument,
  kDeadlineExceeded,
  kNotFound,
  kAlreadyExists,
  kPermissionDenied,
  kResourceExhausted,
  kFailedPrecondition,
  kAborted,
  kOutOfRange,
  kUnimplemented,
  kInternal,
  kUnavailable,
  kDataLoss,
  kUnauthenticated,
};

// The code's name on the wire: "invalid_argument", "not_found", ...
std::string_view CodeName(Code code);

// The code of a wire name; kUnknown when there is none of that name.
Code CodeFromName(std::string_view name);

// The HTTP status that goes with a code (the table of the Connect protocol).
int HttpStatus(Code code);

// A failure. `message` is for the user: no final period, ids quoted, the remedy where known.
// The text of what failed underneath is kept apart in `detail`; it is for the log, not the user.
struct Error {
  Code code = Code::kUnknown;
  std::string message;
  std::string detail;

  // "message: detail", for logs.
  std::string ToString() const;

  // The same failure seen from one level up: "context: message".
  Error WithContext(std::string_view context) const;
};

// An error from errno (or a given errno value): "what: strerror". The code follows from the errno:
// ENOENT is kNotFound, EACCES and EPERM kPermissionDenied, ENOSPC and EMFILE kResourceExhausted,
// ETIMEDOUT kDeadlineExceeded, ECONNREFUSED, EPIPE and ECONNRESET kUnavailable, the rest kInternal.
Error ErrnoError(std::string_view what);
Error ErrnoError(std::string_view what, int err);

}  // namespace wrenn
