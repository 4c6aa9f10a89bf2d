#include "guest/files/upload.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/io.h"
#include "guest/files/entries.h"
#include "guest/files/folders.h"

namespace wrenn::guest {

Result<Upload> Upload::Begin(const std::string& path, const User& user) {
  Upload upload;
  upload.target_ = path;
  struct stat info;
  const bool exists = ::stat(path.c_str(), &info) == 0;
  if (exists) {
    if (S_ISDIR(info.st_mode)) {
      return Fail(Code::kInvalidArgument, "path '{}' is a directory", path);
    }
    if (!S_ISREG(info.st_mode)) {
      return Fail(Code::kInvalidArgument, "path '{}' is not a regular file", path);
    }
    upload.mode_ = info.st_mode & 07777;
    char real[PATH_MAX];
    if (::realpath(path.c_str(), real)) upload.target_ = real;
  } else if (errno != ENOENT) {
    return PathError("write", path, errno);
  }
  const std::string folder = ParentFolder(upload.target_);
  RETURN_IF_ERROR(MakeFolders(folder, user));
  std::string temporary =
      fmt::format("{}/{}XXXXXX", folder == "/" ? "" : folder, exists ? kPrefix : kNewPrefix);
  upload.fd_ = UniqueFd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!upload.fd_) return PathError("write", path, errno);
  upload.temporary_ = std::move(temporary);
  return upload;
}

Upload::~Upload() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Status Upload::Write(std::string_view data) {
  auto written = WriteAll(fd_.get(), data, Deadline::Never());
  if (written) return {};
  if (written.error().code == Code::kResourceExhausted) return PathError("write", target_, ENOSPC);
  return Fail(written.error().WithContext("cannot write '" + target_ + "'"));
}

Status Upload::Commit(const User& user) {
  // The owner first: changing it clears the set-user-id bit.
  RETURN_IF_ERROR(GiveTo(fd_.get(), user));
  if (::fchmod(fd_.get(), mode_) < 0 || ::rename(temporary_.c_str(), target_.c_str()) < 0) {
    return PathError("write", target_, errno);
  }
  temporary_.clear();
  return {};
}

}  // namespace wrenn::guest
