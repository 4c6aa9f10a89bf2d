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

Status CopyThroughMemory(int from, int to, off_t begin, off_t end) {
  std::vector<char> buffer(1 << 20);
  while (begin < end) {
    const auto want = std::min<size_t>(buffer.size(), static_cast<size_t>(end - begin));
    const ssize_t got = ::pread(from, buffer.data(), want, begin);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Fail(ErrnoError("cannot read the base image"));
    if (got == 0) return Fail(Code::kDataLoss, "the base image shrank while it was copied");
    for (ssize_t done = 0; done < got;) {
      const ssize_t put =
          ::pwrite(to, buffer.data() + done, static_cast<size_t>(got - done), begin + done);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return Fail(ErrnoError("cannot write the copy"));
      done += put;
    }
    begin += got;
  }
  return {};
}

Status CopyRange(int from, int to, off_t begin, off_t end) {
  while (begin < end) {
    off_t in = begin;
    off_t out = begin;
    const ssize_t copied =
        ::copy_file_range(from, &in, to, &out, static_cast<size_t>(end - begin), 0);
    if (copied > 0) {
      begin += copied;
    } else if (copied == 0) {
      // Some file systems answer 0 instead of an error.
      return CopyThroughMemory(from, to, begin, end);
    } else if (NeedsPlainCopy(errno)) {
      return CopyThroughMemory(from, to, begin, end);
    } else if (errno != EINTR) {
      return Fail(ErrnoError("cannot copy the base image"));
    }
  }
  return {};
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

Status ShareBlocks(int from, int to) {
  if (::ioctl(to, FICLONE, from) == 0) return {};
  if (errno == EOPNOTSUPP || errno == ENOTTY || errno == EXDEV || errno == EINVAL ||
      errno == ENOSYS) {
    return Fail(Error{Code::kUnimplemented, "the file system cannot share blocks between files",
                      ErrnoError("FICLONE").message});
  }
  return Fail(ErrnoError("cannot share the base image's blocks"));
}

Status CopyData(int from, int to) {
  struct stat info;
  if (::fstat(from, &info) < 0) return Fail(ErrnoError("cannot read the base image"));
  if (::ftruncate(to, info.st_size) < 0) return Fail(ErrnoError("cannot size the copy"));
  for (off_t position = 0; position < info.st_size;) {
    const off_t data = ::lseek(from, position, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;  // nothing but a hole up to the end
    if (data < 0) return Fail(ErrnoError("cannot find the base image's data"));
    const off_t hole = ::lseek(from, data, SEEK_HOLE);
    if (hole < 0) return Fail(ErrnoError("cannot find the base image's holes"));
    RETURN_IF_ERROR(CopyRange(from, to, data, std::min(hole, info.st_size)));
    position = hole;
  }
  return {};
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
