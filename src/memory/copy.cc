#include "memory/copy.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "memory/parallel.h"

namespace wrenn::memory {
namespace {

constexpr uint64_t kHugePage = 2 << 20;

}  // namespace

Result<CopyRoom> CopyRoom::Make(uint64_t bytes) {
  CopyRoom room;
  if (bytes == 0) return room;
  const uint64_t rounded = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  // And some for the alignment, without which the first and the last huge page would be small ones.
  void* mapped = ::mmap(nullptr, rounded + kHugePage, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return Fail(ErrnoError("no room for a copy of the machine's memory"));
  room.mapping_ = {static_cast<char*>(mapped), rounded + kHugePage};
  const uint64_t past = reinterpret_cast<uint64_t>(mapped) % kHugePage;
  room.bytes_ = room.mapping_.subspan(past == 0 ? 0 : kHugePage - past, rounded);
  // Small pages do as well, only slower.
  (void)::madvise(room.bytes_.data(), rounded, MADV_HUGEPAGE);
  // Kernels before 5.14 cannot; then the copy itself is what touches it.
  if (::madvise(room.bytes_.data(), rounded, MADV_POPULATE_WRITE) < 0 && errno == ENOMEM) {
    return Fail(ErrnoError("no room for a copy of the machine's memory"));
  }
  return room;
}

CopyRoom::~CopyRoom() {
  if (!mapping_.empty()) ::munmap(mapping_.data(), mapping_.size());
}

Result<Copy> Copy::Take(const ProcessMemory& memory, Ranges ranges, CopyRoom room) {
  Copy copy;
  copy.places_.reserve(ranges.size());
  uint64_t total = 0;
  for (const Range& range : ranges) {
    copy.places_.push_back(total);
    total += range.length;
  }
  copy.ranges_ = std::move(ranges);
  copy.room_ = std::move(room);
  if (copy.room_.bytes().size() < total) {
    ASSIGN_OR_RETURN(copy.room_, CopyRoom::Make(total));
  }
  // The kernel looks up every page by itself, which takes longer than to copy it.
  RETURN_IF_ERROR(InParallel(copy.ranges_, [&](const Ranges& part, uint64_t place) {
    return memory.ReadRanges(part, copy.room_.bytes().subspan(place, TotalLength(part)));
  }));
  return copy;
}

Status Copy::Read(uint64_t offset, std::span<char> out) const {
  if (out.empty()) return {};
  const auto at = std::ranges::upper_bound(ranges_, offset, {}, &Range::end);
  if (at == ranges_.end() || at->offset > offset || out.size() > at->end() - offset) {
    return Fail(Code::kOutOfRange, "byte {} is not in the copy", offset);
  }
  const uint64_t place = places_[static_cast<size_t>(at - ranges_.begin())];
  std::memcpy(out.data(), room_.bytes().data() + place + (offset - at->offset), out.size());
  return {};
}

}  // namespace wrenn::memory
