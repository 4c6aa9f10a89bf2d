#include "template/workspace.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/id.h"
#include "base/io.h"
#include "os/files.h"
#include "os/mounts.h"
#include "template/catalogue.h"

namespace wrenn::template_ {
namespace {

constexpr std::string_view kPrefix = "build-";
constexpr std::string_view kLockSuffix = ".lock";

// Whether `place` has all these files in their full length. Manifests of equal content may differ:
// they say when and from what it was made.
bool IsComplete(const std::string& place, const std::string& source,
                const std::vector<std::string>& names) {
  return std::ranges::all_of(names, [&](const std::string& name) {
    struct stat wanted;
    struct stat found;
    return ::stat((source + "/" + name).c_str(), &wanted) == 0 &&
           ::stat((place + "/" + name).c_str(), &found) == 0 &&
           (wanted.st_size == found.st_size || name == "manifest.json");
  });
}

std::string TemplateLock(const os::Paths& paths, const std::string& name) {
  return paths.Temporary() + "/template-" + name + ".lock";
}

// Removes a build's folder, unless it lives. One that was killed where it could not have a mount
// namespace has left its mounts.
Status RemoveDead(const std::string& folder, const std::string& lock_file) {
  ASSIGN_OR_RETURN(const auto lock, os::FileLock::TryAcquire(lock_file));
  if (!lock) return {};
  RETURN_IF_ERROR(os::UnmountBelow(folder));
  RETURN_IF_ERROR(os::RemoveTree(folder));
  ::unlink(lock_file.c_str());
  return {};
}

}  // namespace

Result<Workspace> Workspace::Make(const os::Paths& paths) {
  RETURN_IF_ERROR(paths.Prepare());
  const std::string path = fmt::format("{}/{}{}", paths.Temporary(), kPrefix, RandomHex(12));
  ASSIGN_OR_RETURN(auto lock, os::FileLock::Acquire(path + std::string(kLockSuffix)));
  Workspace workspace(path, std::move(lock));
  RETURN_IF_ERROR(os::MakeDirectory(path));
  return workspace;
}

Workspace::~Workspace() {
  if (path_.empty()) return;
  // What cannot be removed now is for CleanTemporary(), which goes by the lock file.
  if (os::RemoveTree(path_)) ::unlink((path_ + std::string(kLockSuffix)).c_str());
}

Status Workspace::Seal(const std::string& file) const {
  const std::string path = path_ + "/" + file;
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return Fail(ErrnoError("cannot open '" + path + "'"));
  if (::fchmod(fd.get(), 0444) < 0) return Fail(ErrnoError("cannot protect '" + path + "'"));
  if (::fsync(fd.get()) < 0) return Fail(ErrnoError("cannot flush '" + path + "'"));
  return {};
}

Status Workspace::Publish(const std::string& folder, const std::string& place) const {
  const std::string source = path_ + "/" + folder;
  ASSIGN_OR_RETURN(const auto names, os::ListDirectory(source));
  for (const std::string& name : names) RETURN_IF_ERROR(Seal(folder + "/" + name));
  RETURN_IF_ERROR(SyncDirectory(source));
  if (!IsComplete(place, source, names)) RETURN_IF_ERROR(os::RemoveTree(place));
  if (::rename(source.c_str(), place.c_str()) < 0 && errno != ENOTEMPTY && errno != EEXIST) {
    return Fail(ErrnoError("cannot move the finished folder to '" + place + "'"));
  }
  return SyncDirectory(place.substr(0, place.rfind('/')));
}

Result<os::FileLock> LockCatalogue(const os::Paths& paths, Deadline deadline) {
  RETURN_IF_ERROR(paths.Prepare());
  auto lock = os::FileLock::Acquire(paths.Temporary() + "/catalogue.lock", deadline);
  if (!lock && lock.error().code == Code::kDeadlineExceeded) {
    return Fail(Code::kUnavailable,
                "a build of a template holds the catalogue: try again when it has ended");
  }
  return lock;
}

Result<std::optional<Turn>> Turn::Try(const os::Paths& paths, const std::string& name) {
  RETURN_IF_ERROR(paths.Prepare());
  const std::string file = TemplateLock(paths, name);
  ASSIGN_OR_RETURN(auto lock, os::FileLock::TryAcquire(file));
  if (!lock) return std::optional<Turn>();
  return std::optional<Turn>(Turn(file, std::move(*lock)));
}

Result<Turn> Turn::Wait(const os::Paths& paths, const std::string& name) {
  RETURN_IF_ERROR(paths.Prepare());
  const std::string file = TemplateLock(paths, name);
  ASSIGN_OR_RETURN(auto lock, os::FileLock::Acquire(file));
  return Turn(file, std::move(lock));
}

// Whoever waits notices that the file it locked then is not the named one any more, and tries
// again.
Turn::~Turn() {
  if (!file_.empty()) ::unlink(file_.c_str());
}

std::vector<Error> CleanTemporary(const os::Paths& paths) {
  std::vector<Error> failures;
  const auto names = os::ListDirectory(paths.Temporary());
  if (!names) return failures;  // no folder, no leftovers
  for (const std::string& name : *names) {
    if (!name.starts_with(kPrefix)) continue;
    // A lock file is made before its folder and removed after it, so whoever can take the lock has
    // the folder of a dead build, or none.
    const bool is_lock = name.ends_with(kLockSuffix);
    const std::string folder = paths.Temporary() + "/" +
                               (is_lock ? name.substr(0, name.size() - kLockSuffix.size()) : name);
    const std::string lock_file = folder + std::string(kLockSuffix);
    if (auto removed = RemoveDead(folder, lock_file); !removed) {
      failures.push_back(std::move(removed.error()));
    }
  }
  return failures;
}

}  // namespace wrenn::template_
