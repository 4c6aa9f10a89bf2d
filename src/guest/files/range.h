// HTTP byte ranges (RFC 9110 section 14).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace wrenn::guest {

struct ByteRange {
  uint64_t first = 0;
  uint64_t last = 0;  // inclusive
  uint64_t size() const { return last - first + 1; }
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

struct RangeAnswer {
  enum class Kind { kWhole, kPart, kUnsatisfiable };
  Kind kind = Kind::kWhole;
  ByteRange range;
};

// What a Range field means for `size` bytes. One range is served; several, other units and what is
// malformed count as no Range field, as the standard allows.
RangeAnswer ParseRange(std::string_view field, uint64_t size);

}  // namespace wrenn::guest
