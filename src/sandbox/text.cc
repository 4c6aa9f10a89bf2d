#include "sandbox/text.h"

#include "base/encoding.h"

namespace wrenn::sandbox {

std::string CleanTail(std::string_view text, size_t limit) {
  if (text.size() > limit) {
    text.remove_prefix(text.size() - limit);
    // Not in the middle of a character.
    while (!text.empty() && (static_cast<unsigned char>(text.front()) & 0xC0) == 0x80) {
      text.remove_prefix(1);
    }
  }
  const bool utf8 = IsUtf8(text);
  std::string clean;
  clean.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\r') continue;
    const bool control = (byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7F;
    clean.push_back(control || (byte >= 0x80 && !utf8) ? '?' : c);
  }
  return clean;
}

}  // namespace wrenn::sandbox
