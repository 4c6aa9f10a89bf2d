// A copy of some ranges of a machine's memory, so that it can run on while they are written.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "memory/process_memory.h"

namespace wrenn::memory {

class Copy {
 public:
  // Takes `ranges` of `memory`, at the speed of memcpy. kResourceExhausted when there is no room.
  static Result<Copy> Take(const ProcessMemory& memory, Ranges ranges);
  Copy(Copy&& other) noexcept { *this = std::move(other); }
  Copy& operator=(Copy&& other) noexcept {
    std::swap(ranges_, other.ranges_);
    std::swap(places_, other.places_);
    std::swap(mapping_, other.mapping_);
    return *this;
  }
  ~Copy();

  const Ranges& ranges() const { return ranges_; }
  // Within one of the ranges only; kOutOfRange otherwise.
  Status Read(uint64_t offset, std::span<char> out) const;

 private:
  Copy() = default;

  Ranges ranges_;
  std::vector<uint64_t> places_;  // of each range in the mapping
  std::span<char> mapping_;       // anonymous, of whole huge pages
};

}  // namespace wrenn::memory
