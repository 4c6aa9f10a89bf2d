#include "template/debian_version.h"

#include <algorithm>

namespace wrenn::template_ {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// '~' sorts before everything, even the end of a part (which counts as 0); letters before others.
int Order(char c) {
  if (c == '~') return -1;
  if (IsLetter(c)) return c;
  return static_cast<unsigned char>(c) + 256;
}

// Takes the digits, without zeros in front, that the text begins with.
std::string_view TakeNumber(std::string_view& text) {
  const auto size = static_cast<size_t>(std::ranges::find_if_not(text, IsDigit) - text.begin());
  std::string_view number = text.substr(0, size);
  text.remove_prefix(size);
  number.remove_prefix(std::min(number.find_first_not_of('0'), number.size()));
  return number;
}

int CompareNumbers(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  return a.compare(b);
}

// Upstream versions and revisions: by turns a part without digits and a number.
int ComparePart(std::string_view a, std::string_view b) {
  const auto in_text = [](std::string_view text) { return !text.empty() && !IsDigit(text[0]); };
  while (!a.empty() || !b.empty()) {
    while (in_text(a) || in_text(b)) {
      const int x = in_text(a) ? Order(a[0]) : 0;
      const int y = in_text(b) ? Order(b[0]) : 0;
      if (x != y) return x - y;
      a.remove_prefix(1);
      b.remove_prefix(1);
    }
    const std::string_view x = TakeNumber(a);
    const std::string_view y = TakeNumber(b);
    if (const int order = CompareNumbers(x, y); order != 0) return order;
  }
  return 0;
}

struct Parts {
  std::string_view epoch;
  std::string_view upstream;
  std::string_view revision;
};

Parts Split(std::string_view version) {
  Parts parts;
  if (const size_t colon = version.find(':'); colon != std::string_view::npos) {
    parts.epoch = version.substr(0, colon);
    version.remove_prefix(colon + 1);
  }
  const size_t dash = version.rfind('-');
  parts.upstream = version.substr(0, dash);
  if (dash != std::string_view::npos) parts.revision = version.substr(dash + 1);
  return parts;
}

}  // namespace

int CompareVersions(std::string_view a, std::string_view b) {
  const Parts x = Split(a);
  const Parts y = Split(b);
  if (const int order = ComparePart(x.epoch, y.epoch); order != 0) return order;
  if (const int order = ComparePart(x.upstream, y.upstream); order != 0) return order;
  return ComparePart(x.revision, y.revision);
}

}  // namespace wrenn::template_
