#include "vmm/bounded_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"

namespace wrenn::vmm {
namespace {

constexpr std::string_view kMarkerEnd = " bytes left out ...]\n";

// The bytes of [from, to) of a file; fewer when it is shorter.
std::string ReadRange(int fd, size_t from, size_t to) {
  std::string bytes(to > from ? to - from : 0, '\0');
  const ssize_t got = ::pread(fd, bytes.data(), bytes.size(), static_cast<off_t>(from));
  bytes.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return bytes;
}

}  // namespace

Result<BoundedLog> BoundedLog::Open(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_APPEND, 0600));
  struct stat info;
  if (!fd || ::fstat(fd.get(), &info) < 0) {
    return Fail(ErrnoError("cannot open log '" + path + "'"));
  }
  return BoundedLog(path, std::move(fd), static_cast<size_t>(info.st_size));
}

void BoundedLog::Append(std::string_view bytes) {
  while (!bytes.empty()) {
    if (size_ >= kLimit) Compact();
    const std::string_view piece = bytes.substr(0, kLimit - std::min(size_, kLimit - 1));
    const ssize_t written = ::write(fd_.get(), piece.data(), piece.size());
    if (written <= 0) return;
    size_ += static_cast<size_t>(written);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

// Writes the shortened log beside the old one and renames it, so that readers always find a whole
// one.
void BoundedLog::Compact() {
  const std::string head = ReadRange(fd_.get(), 0, kHead);
  const std::string tail = ReadRange(fd_.get(), size_ - kTail, size_);
  // Of what is dropped now, the marker of the last time is not output.
  const size_t old_marker = compacted_ ? head_end_ - kHead : 0;
  left_out_ += size_ - kHead - kTail - old_marker;
  const std::string marker = fmt::format("\n[... {}{}", left_out_, kMarkerEnd);
  const std::string temporary = path_ + ".new";
  UniqueFd fd(::open(temporary.c_str(),
                     O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_APPEND, 0600));
  if (!fd || !WriteAll(fd.get(), head + marker + tail, Deadline::Never()) ||
      ::rename(temporary.c_str(), path_.c_str()) < 0) {
    ::unlink(temporary.c_str());
    // Better to begin anew than to grow or to stop.
    (void)!::ftruncate(fd_.get(), 0);
    size_ = 0;
    return;
  }
  fd_ = std::move(fd);
  size_ = head.size() + marker.size() + tail.size();
  head_end_ = kHead + marker.size();
  compacted_ = true;
}

}  // namespace wrenn::vmm
