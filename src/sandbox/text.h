// Text of the guest's, the VMM's or the host's, made fit for records, logs and clients.
#pragma once

#include <string>
#include <string_view>

#include "os/paths.h"

namespace wrenn::sandbox {

// Of messages in records and journal lines.
inline constexpr size_t kMaxText = 2000;

// The last `limit` bytes as valid UTF-8 without control characters but newline and tab: what is
// neither becomes '?', carriage returns go.
std::string CleanTail(std::string_view text, size_t limit = kMaxText);

// The text as a client may read it: of each path below the server's folders its last name is left.
std::string HidePaths(std::string_view text, const os::Paths& paths);

}  // namespace wrenn::sandbox
