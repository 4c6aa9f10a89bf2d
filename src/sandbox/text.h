// Text of the guest's or the VMM's, made fit for records and logs.
#pragma once

#include <string>
#include <string_view>

namespace wrenn::sandbox {

// Of messages in records and journal lines.
inline constexpr size_t kMaxText = 2000;

// The last `limit` bytes as valid UTF-8 without control characters but newline and tab: what is
// neither becomes '?', carriage returns go.
std::string CleanTail(std::string_view text, size_t limit = kMaxText);

}  // namespace wrenn::sandbox
