// Where a piece of text may be cut without tearing a character.
#pragma once

#include <algorithm>
#include <string_view>

namespace wrenn::guest {

// How many bytes at the end begin a UTF-8 sequence without ending it; 0 to 3.
inline size_t IncompleteUtf8Tail(std::string_view text) {
  const size_t most = std::min<size_t>(3, text.size());
  for (size_t tail = 1; tail <= most; ++tail) {
    const auto byte = static_cast<unsigned char>(text[text.size() - tail]);
    if ((byte & 0xC0) == 0x80) continue;  // within a sequence
    const size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
    return length > tail ? tail : 0;
  }
  return 0;
}

}  // namespace wrenn::guest
