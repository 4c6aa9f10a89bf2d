#include "guest/files/range.h"

#include <algorithm>
#include <charconv>

namespace wrenn::guest {
namespace {

std::optional<uint64_t> Number(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return number;
}

}  // namespace

RangeAnswer ParseRange(std::string_view field, uint64_t size) {
  using Kind = RangeAnswer::Kind;
  constexpr std::string_view kUnit = "bytes=";
  if (!field.starts_with(kUnit)) return {};
  field.remove_prefix(kUnit.size());
  const size_t dash = field.find('-');
  if (dash == std::string_view::npos) return {};
  const auto first = Number(field.substr(0, dash));
  const auto last = Number(field.substr(dash + 1));
  const bool open = field.size() == dash + 1;
  if (!first) {
    // "-n": the last n bytes.
    if (dash != 0 || !last) return {};
    if (*last == 0 || size == 0) return {Kind::kUnsatisfiable, {}};
    return {Kind::kPart, {size - std::min(*last, size), size - 1}};
  }
  if ((!last && !open) || (last && *last < *first)) return {};
  if (*first >= size) return {Kind::kUnsatisfiable, {}};
  return {Kind::kPart, {*first, last ? std::min(*last, size - 1) : size - 1}};
}

}  // namespace wrenn::guest
