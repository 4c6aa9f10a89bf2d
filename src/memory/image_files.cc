#include "memory/image_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace wrenn::memory {
namespace {

constexpr size_t kBufferSize = 1 << 20;

tl::unexpected<Error> Lost(const ImageFile& file, std::string_view how) {
  return Fail(
      Error{Code::kDataLoss, fmt::format("the snapshot's file '{}' {}", file.name, how), {}});
}

}  // namespace

Result<UniqueFd> OpenImageFile(const ImageFile& file, const std::string& directory) {
  const std::string path = directory + "/" + file.name;
  // Not blocking: should it be a pipe, this must not wait for its other end.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd && errno == ENOENT) return Lost(file, "is missing");
  struct stat info;
  if (!fd || ::fstat(fd.get(), &info) < 0) return Fail(ErrnoError("cannot open '" + path + "'"));
  if (!S_ISREG(info.st_mode)) return Lost(file, "is no plain file");
  if (static_cast<uint64_t>(info.st_size) != file.size) return Lost(file, "has another size");
  return fd;
}

Status ReadAt(int fd, uint64_t offset, std::span<char> out) {
  while (!out.empty()) {
    const ssize_t got = ::pread(fd, out.data(), out.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Fail(ErrnoError("cannot read the snapshot's memory"));
    if (got == 0) return Fail(Code::kDataLoss, "a file of the snapshot's memory is cut off");
    out = out.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
  return {};
}

Status WriteAt(int fd, uint64_t offset, std::span<const char> data) {
  while (!data.empty()) {
    const ssize_t put = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno == EFBIG) {
      return Fail(Code::kResourceExhausted,
                  "the snapshot's memory is larger than a file may be (ulimit -f)");
    }
    if (put < 0) return Fail(ErrnoError("cannot write the snapshot's memory"));
    data = data.subspan(static_cast<size_t>(put));
    offset += static_cast<uint64_t>(put);
  }
  return {};
}

Result<Ranges> DataIn(int fd, Range window) {
  Ranges ranges;
  for (uint64_t at = window.offset; at < window.end();) {
    const off_t data = ::lseek(fd, static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;  // nothing but a hole up to the end
    if (data < 0) return Fail(ErrnoError("cannot find the data of the snapshot's memory"));
    const off_t hole = ::lseek(fd, data, SEEK_HOLE);
    if (hole < 0) return Fail(ErrnoError("cannot find the holes of the snapshot's memory"));
    const uint64_t begin = static_cast<uint64_t>(data) / kPageSize * kPageSize;
    const uint64_t end = (static_cast<uint64_t>(hole) + kPageSize - 1) / kPageSize * kPageSize;
    if (begin >= window.end()) break;
    Append(ranges, {begin, std::min(end, window.end()) - begin});
    at = end;
  }
  return ranges;
}

NewImageFile::NewImageFile(UniqueFd fd, std::string name, std::string path)
    : fd_(std::move(fd)),
      name_(std::move(name)),
      path_(std::move(path)),
      buffer_(std::make_unique_for_overwrite<char[]>(kBufferSize)) {}

Result<NewImageFile> NewImageFile::Make(const std::string& directory) {
  std::string name = NewFileName();
  std::string path = directory + "/" + name;
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) return Fail(ErrnoError("cannot make '" + path + "'"));
  return NewImageFile(std::move(fd), std::move(name), std::move(path));
}

NewImageFile::~NewImageFile() {
  if (fd_ && !path_.empty()) ::unlink(path_.c_str());
}

Status NewImageFile::Write(uint64_t offset, std::span<const char> data) {
  digester_.AddZeros(offset - digester_.position());
  digester_.AddData(data);
  if (offset != buffer_offset_ + buffered_) {
    RETURN_IF_ERROR(Flush());
    buffer_offset_ = offset;
  }
  while (!data.empty()) {
    const size_t step = std::min(data.size(), kBufferSize - buffered_);
    std::memcpy(buffer_.get() + buffered_, data.data(), step);
    buffered_ += step;
    data = data.subspan(step);
    if (buffered_ == kBufferSize) RETURN_IF_ERROR(Flush());
  }
  return {};
}

Status NewImageFile::Flush() {
  if (buffered_ == 0) return {};
  RETURN_IF_ERROR(WriteAt(fd_.get(), buffer_offset_, {buffer_.get(), buffered_}));
  // Lets the disk begin, so that there is less left to do for fsync. Only a hint.
  (void)::sync_file_range(fd_.get(), static_cast<off64_t>(buffer_offset_),
                          static_cast<off64_t>(buffered_), SYNC_FILE_RANGE_WRITE);
  buffer_offset_ += buffered_;
  buffered_ = 0;
  return {};
}

Result<ImageFile> NewImageFile::Finish(uint64_t size) {
  RETURN_IF_ERROR(Seal(size));
  digester_.AddZeros(size - digester_.position());
  return ImageFile{.name = name_, .size = size, .chunks = digester_.Finish()};
}

Status NewImageFile::Seal(uint64_t size) {
  RETURN_IF_ERROR(Flush());
  if (::ftruncate(fd_.get(), static_cast<off_t>(size)) < 0) {
    return Fail(ErrnoError("cannot write the snapshot's memory"));
  }
  return {};
}

}  // namespace wrenn::memory
