#include "disk/sparse_copy.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "disk/backend.h"

namespace wrenn::disk {
namespace {

// Whether copy_file_range(2) cannot do it here at all, so that bytes must go through us.
bool NeedsPlainCopy(int error) {
  return error == EXDEV || error == EINVAL || error == EOPNOTSUPP || error == ENOSYS ||
         error == EPERM;
}

Status CopyThroughMemory(int from, uint64_t from_offset, int to, uint64_t to_offset,
                         uint64_t length) {
  std::vector<char> buffer(std::min<uint64_t>(length, 1 << 20));
  while (length > 0) {
    const std::span<char> piece =
        std::span(buffer).first(std::min<uint64_t>(buffer.size(), length));
    ASSIGN_OR_RETURN(const size_t got, ReadAt(from, piece, from_offset));
    if (got == 0) return Fail(Code::kDataLoss, "the disk shrank while it was copied");
    RETURN_IF_ERROR(WriteAt(to, {piece.data(), got}, to_offset));
    from_offset += got;
    to_offset += got;
    length -= got;
  }
  return {};
}

Status CopyBytes(int from, uint64_t from_offset, int to, uint64_t to_offset, uint64_t length) {
  while (length > 0) {
    auto in = static_cast<off_t>(from_offset);
    auto out = static_cast<off_t>(to_offset);
    const ssize_t copied = ::copy_file_range(from, &in, to, &out, length, 0);
    if (copied < 0 && errno == EINTR) continue;
    // Some file systems answer 0 instead of an error.
    if (copied == 0 || (copied < 0 && NeedsPlainCopy(errno))) {
      return CopyThroughMemory(from, from_offset, to, to_offset, length);
    }
    if (copied < 0) return Fail(ErrnoError("cannot copy the disk"));
    from_offset += static_cast<uint64_t>(copied);
    to_offset += static_cast<uint64_t>(copied);
    length -= static_cast<uint64_t>(copied);
  }
  return {};
}

// lseek(2) with SEEK_DATA or SEEK_HOLE; `end` when there is none before it.
Result<uint64_t> Seek(int fd, uint64_t offset, int whence, uint64_t end) {
  const off_t found = ::lseek(fd, static_cast<off_t>(offset), whence);
  if (found < 0 && errno == ENXIO) return end;
  if (found < 0) return Fail(ErrnoError("cannot find the disk's data"));
  return std::min(static_cast<uint64_t>(found), end);
}

}  // namespace

Result<NewFile> NewFile::Make(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd && errno == EEXIST) return Fail(Code::kAlreadyExists, "'{}' exists already", path);
  if (!fd) return Fail(ErrnoError("cannot make '" + path + "'"));
  return NewFile(std::move(fd), path);
}

NewFile::~NewFile() {
  if (fd_) ::unlink(path_.c_str());
}

Status NewFile::SetSize(uint64_t bytes) {
  if (::ftruncate(fd(), static_cast<off_t>(bytes)) < 0) {
    return Fail(ErrnoError("cannot size the disk"));
  }
  return {};
}

Result<UniqueFd> OpenImage(const std::string& path) {
  // Not blocking: whatever else may lie there must not hold us up.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat info;
  if (!fd || ::fstat(fd.get(), &info) < 0) return Fail(ErrnoError("cannot open the disk"));
  if (!S_ISREG(info.st_mode)) return Fail(Code::kFailedPrecondition, "the disk is not a file");
  return fd;
}

Result<size_t> ReadAt(int fd, std::span<char> out, uint64_t offset) {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t got =
        ::pread(fd, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Fail(ErrnoError("cannot read the disk"));
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

Status WriteAt(int fd, std::string_view data, uint64_t offset) {
  while (!data.empty()) {
    const ssize_t put = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return Fail(ErrnoError("cannot write the disk"));
    data.remove_prefix(static_cast<size_t>(put));
    offset += static_cast<uint64_t>(put);
  }
  return {};
}

Status ShareBlocks(int from, int to) {
  if (::ioctl(to, FICLONE, from) == 0) return {};
  if (errno == EOPNOTSUPP || errno == ENOTTY || errno == EXDEV || errno == EINVAL ||
      errno == ENOSYS) {
    return Fail(Error{Code::kUnimplemented, "the file system cannot share blocks between files",
                      ErrnoError("FICLONE").message});
  }
  return Fail(ErrnoError("cannot share the base image's blocks"));
}

Status PunchHole(int fd, uint64_t offset, uint64_t length) {
  if (length == 0) return {};
  if (::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                  static_cast<off_t>(length)) == 0) {
    return {};
  }
  if (errno != EOPNOTSUPP) return Fail(ErrnoError("cannot make a hole in the disk"));
  const std::string zeros(std::min<uint64_t>(length, 1 << 20), '\0');
  for (uint64_t done = 0; done < length; done += zeros.size()) {
    const uint64_t piece = std::min<uint64_t>(zeros.size(), length - done);
    RETURN_IF_ERROR(WriteAt(fd, std::string_view(zeros).substr(0, piece), offset + done));
  }
  return {};
}

Status CopyRange(int from, uint64_t from_offset, int to, uint64_t to_offset, uint64_t length,
                 Holes holes) {
  const uint64_t end = from_offset + length;
  for (uint64_t position = from_offset; position < end;) {
    ASSIGN_OR_RETURN(const uint64_t data, Seek(from, position, SEEK_DATA, end));
    if (holes == Holes::kPunch) {
      RETURN_IF_ERROR(PunchHole(to, to_offset + (position - from_offset), data - position));
    }
    if (data == end) break;
    ASSIGN_OR_RETURN(const uint64_t hole, Seek(from, data, SEEK_HOLE, end));
    RETURN_IF_ERROR(CopyBytes(from, data, to, to_offset + (data - from_offset), hole - data));
    position = hole;
  }
  return {};
}

Status CopyData(int from, int to) {
  struct stat info;
  if (::fstat(from, &info) < 0) return Fail(ErrnoError("cannot read the base image"));
  if (::ftruncate(to, info.st_size) < 0) return Fail(ErrnoError("cannot size the copy"));
  return CopyRange(from, 0, to, 0, static_cast<uint64_t>(info.st_size), Holes::kLeave);
}

Status CopySparse(const std::string& from, const std::string& to) {
  UniqueFd source(::open(from.c_str(), O_RDONLY | O_CLOEXEC));
  if (!source) return Fail(ErrnoError("cannot open '" + from + "'"));
  ASSIGN_OR_RETURN(NewFile copy, NewFile::Make(to));
  if (!ShareBlocks(source.get(), copy.fd())) {
    RETURN_IF_ERROR(CopyData(source.get(), copy.fd()));
  }
  copy.Keep();
  return {};
}

}  // namespace wrenn::disk
