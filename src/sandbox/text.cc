#include "sandbox/text.h"

#include <algorithm>

#include "base/encoding.h"

namespace wrenn::sandbox {
namespace {

// Of those that the names of our files are made of.
bool IsNameCharacter(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
         c == '-' || c == '_' || c == '/';
}

std::string HideBelow(std::string_view text, std::string_view folder) {
  if (folder.size() < 2) return std::string(text);  // "/" says nothing of this host
  std::string shown;
  for (;;) {
    const size_t at = text.find(folder);
    if (at == std::string_view::npos) return shown.append(text);
    const std::string_view rest = text.substr(at + folder.size());
    const bool whole = (at == 0 || !IsNameCharacter(text[at - 1])) &&
                       (rest.empty() || rest[0] == '/' || !IsNameCharacter(rest[0]));
    if (!whole) {
      shown.append(text.substr(0, at + folder.size()));
      text = rest;
      continue;
    }
    const auto end = std::ranges::find_if_not(rest, IsNameCharacter);
    const auto length = folder.size() + static_cast<size_t>(end - rest.begin());
    const std::string_view path = text.substr(at, length);
    shown.append(text.substr(0, at)).append(path.substr(path.rfind('/') + 1));
    text.remove_prefix(at + length);
  }
}

}  // namespace

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

std::string HidePaths(std::string_view text, const os::Paths& paths) {
  return HideBelow(HideBelow(text, paths.runtime), paths.root);
}

}  // namespace wrenn::sandbox
