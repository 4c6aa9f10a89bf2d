// The memory of a guest as a part of its VMM's address space.
//
// Source: proc(5) /proc/PID/pagemap, Documentation/admin-guide/mm/pagemap.rst, process_vm_readv(2).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "memory/range.h"

namespace wrenn::memory {

// One piece of guest RAM in the VMM's address space.
struct Mapping {
  uint64_t address = 0;
  uint64_t length = 0;
  uint64_t offset = 0;  // in guest RAM
};

// Finds where process `pid` maps the file `path` (compared by device and inode) privately: sorted
// by offset. kNotFound when it does not; kFailedPrecondition when a mapping of it is shared, or two
// overlap: what the guest has written could not be told then. kUnavailable when it has ended.
Result<std::vector<Mapping>> FindMappings(pid_t pid, const std::string& path);

// Guest RAM that is a private mapping of a base file. Needs the same user or CAP_SYS_PTRACE. The
// guest should be frozen, or what is read is of no single instant. The caller sees to it that `pid`
// is still that process, for which a zombie is enough.
//
// All: kUnavailable when the process has ended, kOutOfRange for what is not mapped.
class ProcessMemory {
 public:
  // The mappings are sorted by offset and do not overlap, as FindMappings() gives them.
  ProcessMemory(pid_t pid, std::vector<Mapping> mappings)
      : pid_(pid), mappings_(std::move(mappings)) {}

  // Bytes up to the end of the last mapping.
  uint64_t size() const;
  // What is not the base's any more: written by the guest or by Write(), swapped out or not.
  Result<Ranges> Written() const;
  Status Read(uint64_t offset, std::span<char> out) const;
  Status Write(uint64_t offset, std::span<const char> data) const;
  // Many ranges at once, one behind the other in `out` or `data`, which is TotalLength(ranges)
  // long.
  Status ReadRanges(const Ranges& ranges, std::span<char> out) const;
  Status WriteRanges(const Ranges& ranges, std::span<const char> data) const;

 private:
  pid_t pid_;
  std::vector<Mapping> mappings_;
};

}  // namespace wrenn::memory
