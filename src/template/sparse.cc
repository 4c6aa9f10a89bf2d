#include "template/sparse.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "base/unique_fd.h"

namespace wrenn::template_ {
namespace {

constexpr off_t kBlock = 4096;
constexpr off_t kChunk = 1 << 20;

bool IsZero(const char* bytes, size_t size) {
  return size == 0 || (bytes[0] == 0 && std::memcmp(bytes, bytes + 1, size - 1) == 0);
}

// One run of data. False when the file system has no holes.
Result<bool> DigWithin(int fd, off_t begin, off_t end, const std::string& path) {
  const auto buffer = std::make_unique<char[]>(kChunk);
  for (off_t at = begin; at < end;) {
    const size_t want = static_cast<size_t>(std::min(kChunk, end - at));
    const ssize_t got = ::pread(fd, buffer.get(), want, at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Fail(ErrnoError("cannot read '" + path + "'"));
    if (got == 0) return true;
    for (off_t i = 0; i < got;) {
      off_t j = i;
      while (j < got && IsZero(buffer.get() + j, static_cast<size_t>(std::min(kBlock, got - j)))) {
        j = std::min<off_t>(j + kBlock, got);
      }
      if (j > i && ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at + i, j - i) < 0) {
        if (errno == EOPNOTSUPP) return false;
        return Fail(ErrnoError("cannot make holes in '" + path + "'"));
      }
      i = j + kBlock;
    }
    at += got;
  }
  return true;
}

}  // namespace

Status DigHoles(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return Fail(ErrnoError("cannot open '" + path + "'"));
  off_t end = 0;
  while (true) {
    const off_t begin = ::lseek(fd.get(), end, SEEK_DATA);
    if (begin < 0) return {};  // ENXIO: no data behind `end`
    end = ::lseek(fd.get(), begin, SEEK_HOLE);
    if (end < 0) return Fail(ErrnoError("cannot read '" + path + "'"));
    ASSIGN_OR_RETURN(const bool can, DigWithin(fd.get(), begin, end, path));
    if (!can) return {};
  }
}

}  // namespace wrenn::template_
