// Named pipes for what a VMM writes: bounded by the pipe when nobody reads, and a later server can
// read on.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace wrenn::vmm {

// Makes one (mode 0600) and opens it for the VMM, for reading and writing: so that it never breaks
// when no server reads, and non-blocking, so that the VMM never waits.
Result<UniqueFd> MakeOutputPipe(const std::string& path);

// The reading end, non-blocking.
Result<UniqueFd> OpenOutputPipe(const std::string& path);

}  // namespace wrenn::vmm
