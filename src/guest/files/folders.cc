#include "guest/files/folders.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/unique_fd.h"
#include "guest/files/entries.h"

namespace wrenn::guest {
namespace {

// Which folder a descriptor is, so that ".." can be checked.
struct Identity {
  dev_t device = 0;
  ino_t inode = 0;
  bool operator==(const Identity&) const = default;
};

Result<Identity> IdentityOf(int fd) {
  struct stat info;
  if (::fstat(fd, &info) < 0) return Fail(ErrnoError("cannot look at a folder"));
  return Identity{info.st_dev, info.st_ino};
}

UniqueFd OpenFolder(int at, const char* name) {
  return UniqueFd(::openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

// Empties the open folder but for folders that are not empty; answers the name of one, if any.
Result<std::string> EmptyOnce(int folder) {
  UniqueFd copy = OpenFolder(folder, ".");
  DIR* stream = copy ? ::fdopendir(copy.get()) : nullptr;
  if (!stream) return Fail(ErrnoError("cannot read a folder"));
  copy.Release();  // the stream's now
  struct Close {
    DIR* stream;
    ~Close() { ::closedir(stream); }
  } close{stream};
  while (const dirent* entry = ::readdir(stream)) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (::unlinkat(folder, name.c_str(), 0) == 0 || errno == ENOENT) continue;
    if (errno != EISDIR && errno != EPERM) return Fail(ErrnoError("cannot remove '" + name + "'"));
    if (::unlinkat(folder, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) continue;
    if (errno != ENOTEMPTY && errno != EEXIST) {
      return Fail(ErrnoError("cannot remove '" + name + "'"));
    }
    return name;
  }
  return std::string();
}

// Removes all below an open folder. One descriptor at a time, however deep the tree is: the way
// back is "..", which must lead to where we came from.
Status EmptyFolder(UniqueFd folder) {
  std::vector<Identity> above;
  for (;;) {
    ASSIGN_OR_RETURN(const std::string inner, EmptyOnce(folder.get()));
    if (!inner.empty()) {
      ASSIGN_OR_RETURN(const Identity here, IdentityOf(folder.get()));
      UniqueFd next = OpenFolder(folder.get(), inner.c_str());
      if (!next) return Fail(ErrnoError("cannot open '" + inner + "'"));
      above.push_back(here);
      folder = std::move(next);
      continue;
    }
    if (above.empty()) return {};
    folder = OpenFolder(folder.get(), "..");
    if (!folder) return Fail(ErrnoError("cannot go back up"));
    ASSIGN_OR_RETURN(const Identity there, IdentityOf(folder.get()));
    if (there != above.back()) {
      return Fail(Code::kAborted, "the folder was moved while it was removed");
    }
    above.pop_back();  // what was just emptied goes with the next round
  }
}

}  // namespace

std::string ParentFolder(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

Status GiveTo(int fd, const User& user) {
  if (::geteuid() != 0) return {};
  if (::fchown(fd, user.uid, user.gid) < 0) return Fail(ErrnoError("cannot change the owner"));
  return {};
}

Status MakeFolders(const std::string& path, const User& user) {
  for (size_t end = 0; end != std::string::npos;) {
    end = path.find('/', end + 1);
    const std::string part = path.substr(0, end);
    if (::mkdir(part.c_str(), 0755) == 0) {
      UniqueFd fd = OpenFolder(AT_FDCWD, part.c_str());
      if (!fd) return PathError("make", part, errno);
      RETURN_IF_ERROR(GiveTo(fd.get(), user));
      continue;
    }
    const int error = errno;
    struct stat info;
    // EEXIST is not the only one: a read-only file system says EROFS for what is there.
    if (::stat(part.c_str(), &info) < 0) return PathError("make", part, error);
    if (!S_ISDIR(info.st_mode)) {
      return Fail(Code::kInvalidArgument, "path '{}' exists and is not a directory", part);
    }
  }
  return {};
}

Status MovePath(const std::string& from, const std::string& to, const User& user) {
  struct stat info;
  if (::lstat(from.c_str(), &info) < 0) return PathError("move", from, errno);
  RETURN_IF_ERROR(MakeFolders(ParentFolder(to), user));
  if (::rename(from.c_str(), to.c_str()) == 0) return {};
  switch (errno) {
    case EXDEV:
      return Fail(Code::kFailedPrecondition,
                  "'{}' and '{}' are on different file systems: copy it and remove the original",
                  from, to);
    case ENOTEMPTY:
    case EEXIST:
      return Fail(Code::kAlreadyExists, "'{}' is a directory that is not empty", to);
    case EINVAL:
      return Fail(Code::kInvalidArgument, "'{}' cannot be moved into itself", from);
    default:
      return PathError("move", from, errno);
  }
}

Status RemoveTree(const std::string& path) {
  if (path == "/") return Fail(Code::kInvalidArgument, "'/' cannot be removed");
  if (::unlink(path.c_str()) == 0 || errno == ENOENT || errno == ENOTDIR) return {};
  if (errno != EISDIR && errno != EPERM) return PathError("remove", path, errno);
  UniqueFd folder = OpenFolder(AT_FDCWD, path.c_str());
  if (!folder) return errno == ENOENT ? Status() : PathError("remove", path, errno);
  if (auto emptied = EmptyFolder(std::move(folder)); !emptied) {
    return Fail(emptied.error().WithContext("cannot remove '" + path + "'"));
  }
  if (::rmdir(path.c_str()) == 0 || errno == ENOENT) return {};
  return PathError("remove", path, errno);
}

}  // namespace wrenn::guest
