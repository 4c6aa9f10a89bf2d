#include "memory/copy.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "memory/parallel.h"

namespace wrenn::memory {
namespace {

constexpr uint64_t kHugePage = 2 << 20;

}  // namespace

Result<Copy> Copy::Take(const ProcessMemory& memory, Ranges ranges) {
  Copy copy;
  const uint64_t total = TotalLength(ranges);
  copy.places_.reserve(ranges.size());
  uint64_t place = 0;
  for (const Range& range : ranges) {
    copy.places_.push_back(place);
    place += range.length;
  }
  copy.ranges_ = std::move(ranges);
  if (total == 0) return copy;

  // Room for the alignment, without which the first and the last huge page would be small ones.
  const uint64_t room = (total + kHugePage - 1) / kHugePage * kHugePage + kHugePage;
  void* mapped = ::mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return Fail(ErrnoError("no room for a copy of the machine's memory"));
  copy.mapping_ = {static_cast<char*>(mapped), room};
  const uint64_t skip = (kHugePage - reinterpret_cast<uint64_t>(mapped) % kHugePage) % kHugePage;
  for (uint64_t& each : copy.places_) each += skip;
  // Small pages do as well, only slower.
  (void)::madvise(copy.mapping_.data() + skip, room - kHugePage, MADV_HUGEPAGE);
  // The kernel looks up every page by itself, which takes longer than to copy it.
  RETURN_IF_ERROR(InParallel(copy.ranges_, [&](const Ranges& part, uint64_t place_of_part) {
    return memory.ReadRanges(part, copy.mapping_.subspan(skip + place_of_part, TotalLength(part)));
  }));
  return copy;
}

Copy::~Copy() {
  if (!mapping_.empty()) ::munmap(mapping_.data(), mapping_.size());
}

Status Copy::Read(uint64_t offset, std::span<char> out) const {
  if (out.empty()) return {};
  const auto at = std::ranges::upper_bound(ranges_, offset, {}, &Range::end);
  if (at == ranges_.end() || at->offset > offset || out.size() > at->end() - offset) {
    return Fail(Code::kOutOfRange, "byte {} is not in the copy", offset);
  }
  const uint64_t place = places_[static_cast<size_t>(at - ranges_.begin())];
  std::memcpy(out.data(), mapping_.data() + place + (offset - at->offset), out.size());
  return {};
}

}  // namespace wrenn::memory
