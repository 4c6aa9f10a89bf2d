#include "os/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/unique_fd.h"

namespace wrenn::os {
namespace {

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
using Directory = std::unique_ptr<DIR, CloseDir>;

Result<std::vector<std::string>> NamesIn(Directory dir, const std::string& path) {
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(dir.get());
    if (!entry) break;
    if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0) {
      names.emplace_back(entry->d_name);
    }
  }
  if (errno != 0) return Fail(ErrnoError("cannot read folder '" + path + "'"));
  std::ranges::sort(names);
  return names;
}

// Opens a folder below `parent`. One without read or search permission for its owner (images
// contain them) is given it.
UniqueFd OpenForRemoval(int parent, const std::string& name) {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  UniqueFd fd(::openat(parent, name.c_str(), kFlags));
  if (!fd && errno == EACCES && ::fchmodat(parent, name.c_str(), 0700, 0) == 0) {
    fd.Reset(::openat(parent, name.c_str(), kFlags));
  }
  return fd;
}

Status RemoveBelow(int parent, const std::string& name, const std::string& path, dev_t device) {
  if (::unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  // Linux answers EISDIR for a folder; EPERM is what POSIX has and some file systems answer.
  if (errno != EISDIR && errno != EPERM) return Fail(ErrnoError("cannot remove '" + path + "'"));
  struct stat info;
  if (::fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) < 0) {
    return errno == ENOENT ? Status() : Fail(ErrnoError("cannot remove '" + path + "'"));
  }
  if (!S_ISDIR(info.st_mode)) return Fail(ErrnoError("cannot remove '" + path + "'", EPERM));
  if (info.st_dev != device) {
    return Fail(Code::kFailedPrecondition, "'{}' is a mount point: unmount it first", path);
  }
  UniqueFd fd = OpenForRemoval(parent, name);
  if (!fd) return Fail(ErrnoError("cannot open '" + path + "'"));
  Directory dir(::fdopendir(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)));
  if (!dir) return Fail(ErrnoError("cannot open '" + path + "'"));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(std::move(dir), path));
  (void)::fchmod(fd.get(), info.st_mode | 0700);  // without write permission nothing can be removed
  for (const std::string& child : names) {
    RETURN_IF_ERROR(RemoveBelow(fd.get(), child, path + "/" + child, device));
  }
  if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) < 0 && errno != ENOENT) {
    return Fail(ErrnoError("cannot remove '" + path + "'"));
  }
  return {};
}

}  // namespace

Status MakeDirectory(const std::string& path, unsigned mode) {
  if (::mkdir(path.c_str(), mode) == 0) return {};
  struct stat info;
  const int error = errno;
  if (error == EEXIST && ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return {};
  return Fail(ErrnoError("cannot make folder '" + path + "'", error));
}

Status MakeDirectories(const std::string& path, unsigned mode) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    if (!Exists(path.substr(0, slash))) {
      RETURN_IF_ERROR(MakeDirectory(path.substr(0, slash), mode));
    }
  }
  return MakeDirectory(path, mode);
}

bool Exists(const std::string& path) {
  struct stat info;
  return ::lstat(path.c_str(), &info) == 0;
}

Result<std::vector<std::string>> ListDirectory(const std::string& path) {
  Directory dir(::opendir(path.c_str()));
  if (!dir) return Fail(ErrnoError("cannot open folder '" + path + "'"));
  return NamesIn(std::move(dir), path);
}

Status RemoveTree(const std::string& path) {
  struct stat info;
  if (::lstat(path.c_str(), &info) < 0) {
    return errno == ENOENT ? Status() : Fail(ErrnoError("cannot remove '" + path + "'"));
  }
  return RemoveBelow(AT_FDCWD, path, path, info.st_dev);
}

Status LinkFile(const std::string& from, const std::string& to) {
  if (::link(from.c_str(), to.c_str()) < 0) return Fail(ErrnoError("cannot link '" + from + "'"));
  return {};
}

Result<uint64_t> FreeDiskBytes(const std::string& path) {
  struct statvfs info;
  if (::statvfs(path.c_str(), &info) < 0) {
    return Fail(ErrnoError("cannot measure the file system of '" + path + "'"));
  }
  return uint64_t{info.f_bavail} * info.f_frsize;
}

uint64_t AllocatedBytes(const std::string& path) {
  struct stat info;
  if (::lstat(path.c_str(), &info) < 0) return 0;
  uint64_t bytes = static_cast<uint64_t>(info.st_blocks) * 512;
  if (!S_ISDIR(info.st_mode)) return bytes;
  if (const auto names = ListDirectory(path)) {
    for (const std::string& name : *names) bytes += AllocatedBytes(path + "/" + name);
  }
  return bytes;
}

Result<TemporaryDirectory> TemporaryDirectory::Make(const std::string& parent,
                                                    const std::string& prefix) {
  std::string path = parent;
  if (path.empty()) {
    const char* variable = std::getenv("TMPDIR");
    path = variable && *variable == '/' ? variable : "/tmp";
  }
  path += "/" + prefix + ".XXXXXX";
  if (!::mkdtemp(path.data())) return Fail(ErrnoError("cannot make folder '" + path + "'"));
  return TemporaryDirectory(std::move(path));
}

TemporaryDirectory::~TemporaryDirectory() {
  // What cannot be removed stays; a destructor has nobody to tell.
  if (!path_.empty()) (void)RemoveTree(path_);
}

}  // namespace wrenn::os
