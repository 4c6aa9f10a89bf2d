// ApiClient: calls of the API of one Firecracker process.
#pragma once

#include <string>

#include "base/deadline.h"
#include "vmm/firecracker/api_requests.h"

namespace wrenn::vmm {

// HTTP/1.1 over a unix socket, each call on a connection of its own. Thread-safe; Firecracker
// itself serves one request after the other.
class ApiClient {
 public:
  explicit ApiClient(std::string socket_path) : socket_path_(std::move(socket_path)) {}

  // The body of the answer; empty for most (204). kFailedPrecondition with Firecracker's own words
  // when it refuses; kUnavailable when it does not listen, or ends within the call: whether it did
  // what was asked is open then, as after kDeadlineExceeded.
  Result<std::string> Call(const ApiRequest& request, Deadline deadline) const;

  Result<FirecrackerVersion> Version(Deadline deadline) const;

 private:
  const std::string socket_path_;
};

}  // namespace wrenn::vmm
