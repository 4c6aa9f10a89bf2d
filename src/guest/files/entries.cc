#include "guest/files/entries.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>

#include "base/encoding.h"

namespace wrenn::guest {
namespace {

wire::FileType TypeOf(mode_t mode) {
  if (S_ISDIR(mode)) return wire::FileType::kDirectory;
  if (S_ISLNK(mode)) return wire::FileType::kSymlink;
  return S_ISREG(mode) ? wire::FileType::kFile : wire::FileType::kUnspecified;
}

std::string BaseName(const std::string& path) {
  const size_t slash = path.rfind('/');
  return path == "/" || slash == std::string::npos ? path : path.substr(slash + 1);
}

// Where a link leads: the end of the whole chain, or what it says when that is nowhere.
std::string TargetOf(const std::string& path) {
  char buffer[PATH_MAX];
  if (::realpath(path.c_str(), buffer)) return buffer;
  const ssize_t length = ::readlink(path.c_str(), buffer, sizeof buffer);
  return length > 0 ? std::string(buffer, static_cast<size_t>(length)) : path;
}

std::chrono::system_clock::time_point TimeOf(const timespec& time) {
  return FromUnixTime(time.tv_sec, time.tv_nsec);
}

// Recursion is bounded by PATH_MAX: a longer path cannot be described.
Status Walk(const std::string& path, uint32_t depth, OwnerNames& owners,
            const EntryVisitor& visit) {
  for (const std::string& name : NamesIn(path)) {
    const std::string inner = (path == "/" ? "" : path) + "/" + name;
    auto entry = DescribeEntry(inner, owners);
    if (!entry) continue;
    RETURN_IF_ERROR(visit(*entry));
    // A link to a folder is listed and not followed.
    const bool folder = entry->type == wire::FileType::kDirectory && !entry->symlink_target;
    if (folder && depth > 1) RETURN_IF_ERROR(Walk(inner, depth - 1, owners, visit));
  }
  return {};
}

}  // namespace

std::vector<std::string> NamesIn(const std::string& path) {
  std::vector<std::string> names;
  DIR* folder = ::opendir(path.c_str());
  if (!folder) return names;
  while (const dirent* entry = ::readdir(folder)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  ::closedir(folder);
  std::ranges::sort(names);
  return names;
}

tl::unexpected<Error> PathError(std::string_view doing, const std::string& path, int error) {
  if (error == ENOENT) return Fail(Code::kNotFound, "path '{}' does not exist", path);
  if (error == ENOTDIR || error == ELOOP || error == ENAMETOOLONG || error == EISDIR) {
    Error wrong = ErrnoError(fmt::format("cannot {} '{}'", doing, path), error);
    wrong.code = Code::kInvalidArgument;
    return Fail(std::move(wrong));
  }
  if (error == ENOSPC || error == EDQUOT) {
    return Fail(Error{Code::kResourceExhausted,
                      fmt::format("cannot {} '{}': not enough disk space", doing, path),
                      std::string(kDiskFull)});
  }
  return Fail(ErrnoError(fmt::format("cannot {} '{}'", doing, path), error));
}

std::string PermissionText(mode_t mode) {
  std::string text;
  if (S_ISDIR(mode)) text.push_back('d');
  if (S_ISLNK(mode)) text.push_back('L');
  if (S_ISBLK(mode)) text.push_back('D');
  if (S_ISCHR(mode)) text.append("Dc");
  if (S_ISFIFO(mode)) text.push_back('p');
  if (S_ISSOCK(mode)) text.push_back('S');
  if (mode & S_ISUID) text.push_back('u');
  if (mode & S_ISGID) text.push_back('g');
  if (mode & S_ISVTX) text.push_back('t');
  if (text.empty()) text.push_back('-');
  for (int bit = 8; bit >= 0; --bit) {
    text.push_back(mode & (1u << bit) ? "xwr"[bit % 3] : '-');
  }
  return text;
}

Result<wire::EntryInfo> DescribeEntry(const std::string& path, OwnerNames& names) {
  struct stat info;
  if (::lstat(path.c_str(), &info) < 0) return PathError("look at", path, errno);
  wire::EntryInfo entry;
  entry.name = BaseName(path);
  entry.path = path;
  entry.type = TypeOf(info.st_mode);
  entry.size = info.st_size;
  entry.mode = info.st_mode & 0777;
  entry.permissions = PermissionText(info.st_mode);
  entry.owner = names.User(info.st_uid);
  entry.group = names.Group(info.st_gid);
  entry.modified = TimeOf(info.st_mtim);
  if (S_ISLNK(info.st_mode)) {
    entry.symlink_target = TargetOf(path);
    struct stat target;
    if (::stat(path.c_str(), &target) == 0) entry.type = TypeOf(target.st_mode);
  }
  return entry;
}

Status ListEntries(const std::string& path, uint32_t depth, const EntryVisitor& visit) {
  DIR* folder = ::opendir(path.c_str());
  if (!folder) {
    if (errno == ENOTDIR) return Fail(Code::kInvalidArgument, "path '{}' is not a directory", path);
    return PathError("list", path, errno);
  }
  ::closedir(folder);
  OwnerNames owners;
  return Walk(path, std::max(depth, 1u), owners, visit);
}

}  // namespace wrenn::guest
