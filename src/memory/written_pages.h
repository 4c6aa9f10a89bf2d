// Which pages of a private file mapping a process has for itself: its kernel's two answers.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"

namespace wrenn::memory {

// A part of an address space; both are multiples of the page size.
struct AddressRange {
  uint64_t begin = 0;
  uint64_t end = 0;
  friend bool operator==(const AddressRange&, const AddressRange&) = default;
};

// The pages from `begin` to `end` that are in memory or swapped out and not the file's: sorted and
// merged. `pagemap` is /proc/PID/pagemap, open. kUnavailable when the process has ended.
//
// By the ioctl PAGEMAP_SCAN, which walks page tables at once; kUnimplemented before Linux 6.7.
Result<std::vector<AddressRange>> ScanWrittenPages(int pagemap, uint64_t begin, uint64_t end);
// By the file's content, 8 bytes a page.
Result<std::vector<AddressRange>> ReadWrittenPages(int pagemap, uint64_t begin, uint64_t end);

}  // namespace wrenn::memory
