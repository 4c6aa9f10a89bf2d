// What Firecracker's API answers, which a VMM that its guest has taken over may have written.
#pragma once

#include <string_view>

#include "vmm/firecracker/api_requests.h"

namespace wrenn::vmm {

// The longest body of an answer that is read; what we ask for is answered in far less.
inline constexpr size_t kMaxApiAnswer = 256 << 10;

// The error that an answer other than 200 and 204 stands for, with Firecracker's own words
// (fault_message; made printable and cut): kFailedPrecondition when it refuses what it was asked
// (400), kInternal else.
Error RefusalOf(const ApiRequest& request, int status, std::string_view body);

// The answer to GetVersion(). kInvalidArgument when it is none.
Result<FirecrackerVersion> ParseVersionAnswer(std::string_view body);

}  // namespace wrenn::vmm
