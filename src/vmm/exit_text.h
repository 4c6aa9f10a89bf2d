// Words for why machines end, whichever program ran them.
#pragma once

#include <string>
#include <string_view>

#include "os/command.h"
#include "os/process.h"

namespace wrenn::vmm {

using os::LastLine;

// Without control characters, and short.
std::string Printable(std::string_view line);

// The last line of the guest's console that has `mark` in it, from the mark on; empty when there is
// none.
std::string ConsoleLine(std::string_view console, std::string_view mark);

// Of a VMM that a signal has ended, or that failed; `words` is the end of what it said itself.
std::string SignalReason(const os::ExitStatus& status, bool memory_exhausted,
                         std::string_view words);
std::string FailureReason(const os::ExitStatus& status, std::string_view words);

}  // namespace wrenn::vmm
