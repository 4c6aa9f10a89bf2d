// Parts of guest RAM.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"

namespace wrenn::memory {

inline constexpr uint64_t kPageSize = 4096;

// A part of guest RAM in bytes: both are multiples of kPageSize.
struct Range {
  uint64_t offset = 0;
  uint64_t length = 0;
  uint64_t end() const { return offset + length; }
  friend bool operator==(const Range&, const Range&) = default;
};
// Sorted, none empty, and neither overlapping nor touching.
using Ranges = std::vector<Range>;

uint64_t TotalLength(const Ranges& ranges);

// Adds what begins at or behind the end of the last one; the two become one where they touch.
void Append(Ranges& ranges, Range range);

// The bytes that are in either, and those of `ranges` that are in `window`.
Ranges Unite(const Ranges& a, const Ranges& b);
Ranges Intersect(const Ranges& ranges, Range window);

// Cuts ranges into at most `parts` pieces of about the same number of bytes, in order.
std::vector<Ranges> Split(const Ranges& ranges, size_t parts);

// kInvalidArgument for what is not as Ranges must be or reaches beyond `limit`.
Status CheckRanges(const Ranges& ranges, uint64_t limit);

}  // namespace wrenn::memory
