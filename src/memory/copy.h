// A copy of some ranges of a machine's memory, so that it can run on while they are written.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "memory/process_memory.h"

namespace wrenn::memory {

// Memory for a copy, made and touched before the machine is stopped: what takes time in that
// (finding huge pages, clearing them, a host's host that has to find them first) is not part of its
// stop then.
class CopyRoom {
 public:
  // kResourceExhausted when there is not so much memory.
  static Result<CopyRoom> Make(uint64_t bytes);
  CopyRoom() = default;  // none
  CopyRoom(CopyRoom&& other) noexcept { *this = std::move(other); }
  CopyRoom& operator=(CopyRoom&& other) noexcept {
    std::swap(mapping_, other.mapping_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~CopyRoom();

  std::span<char> bytes() const { return bytes_; }

 private:
  std::span<char> mapping_;  // anonymous
  std::span<char> bytes_;    // the part of it that consists of whole huge pages
};

class Copy {
 public:
  // Takes `ranges` of `memory`, at about the speed of memcpy, into `room`, or into a new one if
  // that is too small. kResourceExhausted when there is no memory for that; as ProcessMemory
  // otherwise.
  static Result<Copy> Take(const ProcessMemory& memory, Ranges ranges, CopyRoom room = {});

  const Ranges& ranges() const { return ranges_; }
  // Within one of the ranges only; kOutOfRange otherwise.
  Status Read(uint64_t offset, std::span<char> out) const;

 private:
  Copy() = default;

  Ranges ranges_;
  std::vector<uint64_t> places_;  // of each range in the room
  CopyRoom room_;
};

}  // namespace wrenn::memory
