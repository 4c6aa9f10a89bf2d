#include "memory/range.h"

#include <algorithm>

namespace wrenn::memory {

uint64_t TotalLength(const Ranges& ranges) {
  uint64_t total = 0;
  for (const Range& range : ranges) total += range.length;
  return total;
}

void Append(Ranges& ranges, Range range) {
  if (range.length == 0) return;
  if (!ranges.empty() && ranges.back().end() == range.offset) {
    ranges.back().length += range.length;
  } else {
    ranges.push_back(range);
  }
}

Ranges Unite(const Ranges& a, const Ranges& b) {
  Ranges all;
  all.reserve(a.size() + b.size());
  std::ranges::merge(a, b, std::back_inserter(all), {}, &Range::offset, &Range::offset);
  Ranges united;
  for (const Range& range : all) {
    const uint64_t covered = united.empty() ? 0 : united.back().end();
    const uint64_t begin = std::max(range.offset, covered);
    if (range.end() > begin) Append(united, {begin, range.end() - begin});
  }
  return united;
}

Ranges Intersect(const Ranges& ranges, Range window) {
  Ranges inside;
  auto at = std::ranges::upper_bound(ranges, window.offset, {}, &Range::end);
  for (; at != ranges.end() && at->offset < window.end(); ++at) {
    const uint64_t begin = std::max(at->offset, window.offset);
    inside.push_back({begin, std::min(at->end(), window.end()) - begin});
  }
  return inside;
}

std::vector<Ranges> Split(const Ranges& ranges, size_t parts) {
  const uint64_t pages = TotalLength(ranges) / kPageSize;
  const uint64_t share = (pages + parts - 1) / parts * kPageSize;
  std::vector<Ranges> pieces;
  uint64_t room = 0;  // in the last piece
  for (Range range : ranges) {
    while (range.length > 0) {
      if (room == 0) {
        pieces.emplace_back();
        room = share;
      }
      const uint64_t step = std::min(room, range.length);
      pieces.back().push_back({range.offset, step});
      range.offset += step;
      range.length -= step;
      room -= step;
    }
  }
  return pieces;
}

Status CheckRanges(const Ranges& ranges, uint64_t limit) {
  uint64_t end = 0;
  bool first = true;
  for (const Range& range : ranges) {
    const bool fits = range.length > 0 && range.offset <= limit &&
                      range.length <= limit - range.offset && range.offset % kPageSize == 0 &&
                      range.length % kPageSize == 0;
    if (!fits || (!first && range.offset <= end)) {
      return Fail(Code::kInvalidArgument, "no valid ranges of {} bytes of memory", limit);
    }
    end = range.end();
    first = false;
  }
  return {};
}

}  // namespace wrenn::memory
