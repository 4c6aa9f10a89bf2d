#include "memory/written_pages.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "memory/range.h"

namespace wrenn::memory {
namespace {

// From include/uapi/linux/fs.h of Linux 6.7, which the headers of Debian 12 do not have yet.
// Meaning: Documentation/admin-guide/mm/pagemap.rst, "Pagemap Scan IOCTL".
struct PageRegion {
  uint64_t start;
  uint64_t end;
  uint64_t categories;
};
struct ScanArgument {
  uint64_t size;
  uint64_t flags;
  uint64_t start;
  uint64_t end;
  uint64_t walk_end;
  uint64_t vec;
  uint64_t vec_len;
  uint64_t max_pages;
  uint64_t category_inverted;
  uint64_t category_mask;
  uint64_t category_anyof_mask;
  uint64_t return_mask;
};
constexpr unsigned long kPagemapScan = _IOWR('f', 16, ScanArgument);
constexpr uint64_t kPageIsFile = 1 << 2;
constexpr uint64_t kPageIsPresent = 1 << 3;
constexpr uint64_t kPageIsSwapped = 1 << 4;

// Bits of an entry of /proc/PID/pagemap, from the same document.
constexpr uint64_t kPresent = uint64_t{1} << 63;
constexpr uint64_t kSwapped = uint64_t{1} << 62;
constexpr uint64_t kFileOrShared = uint64_t{1} << 61;

bool IsWritten(uint64_t entry) {
  return (entry & (kPresent | kSwapped)) != 0 && (entry & kFileOrShared) == 0;
}

void Add(std::vector<AddressRange>& pages, uint64_t begin, uint64_t end) {
  if (!pages.empty() && pages.back().end == begin) {
    pages.back().end = end;
  } else {
    pages.push_back({begin, end});
  }
}

tl::unexpected<Error> Ended() { return Fail(Code::kUnavailable, "the machine has ended"); }

}  // namespace

Result<std::vector<AddressRange>> ScanWrittenPages(int pagemap, uint64_t begin, uint64_t end) {
  std::vector<AddressRange> pages;
  PageRegion regions[512];
  while (begin < end) {
    ScanArgument argument{};
    argument.size = sizeof(argument);
    argument.start = begin;
    argument.end = end;
    argument.vec = reinterpret_cast<uint64_t>(regions);
    argument.vec_len = std::size(regions);
    argument.category_mask = kPageIsFile;
    argument.category_inverted = kPageIsFile;
    argument.category_anyof_mask = kPageIsPresent | kPageIsSwapped;
    argument.return_mask = kPageIsFile;
    const int found = ::ioctl(pagemap, kPagemapScan, &argument);
    if (found < 0 && errno == EINTR) continue;
    if (found < 0 && errno == ESRCH) return Ended();
    if (found < 0 && (errno == ENOTTY || errno == EINVAL || errno == EPERM || errno == ENOSYS)) {
      return Fail(Code::kUnimplemented, "the kernel cannot scan page tables");
    }
    if (found < 0) return Fail(ErrnoError("cannot scan the machine's page tables"));
    for (int i = 0; i < found; ++i) Add(pages, regions[i].start, regions[i].end);
    if (argument.walk_end <= begin) {
      return Fail(Code::kInternal, "the kernel's scan of page tables does not go on");
    }
    begin = argument.walk_end;
  }
  return pages;
}

Result<std::vector<AddressRange>> ReadWrittenPages(int pagemap, uint64_t begin, uint64_t end) {
  std::vector<AddressRange> pages;
  std::vector<uint64_t> entries(std::min<uint64_t>((end - begin) / kPageSize, 32768));
  while (begin < end) {
    const size_t want = std::min<uint64_t>((end - begin) / kPageSize, entries.size());
    const ssize_t got = ::pread(pagemap, entries.data(), want * sizeof(uint64_t),
                                static_cast<off_t>(begin / kPageSize * sizeof(uint64_t)));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno != ESRCH) return Fail(ErrnoError("cannot read the machine's page tables"));
    if (got < static_cast<ssize_t>(sizeof(uint64_t))) return Ended();
    const size_t count = static_cast<size_t>(got) / sizeof(uint64_t);
    for (size_t i = 0; i < count; ++i) {
      if (!IsWritten(entries[i])) continue;
      const size_t first = i;
      while (i < count && IsWritten(entries[i])) ++i;
      Add(pages, begin + first * kPageSize, begin + i * kPageSize);
    }
    begin += count * kPageSize;
  }
  return pages;
}

}  // namespace wrenn::memory
