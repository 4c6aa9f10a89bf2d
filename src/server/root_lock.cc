#include "server/root_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "base/io.h"
#include "os/files.h"

namespace wrenn::server {
namespace {

constexpr int kLooks = 20;
constexpr useconds_t kLookPause = 10'000;  // microseconds

Result<pid_t> ReadPid(const os::Paths& paths) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(paths.PidFile(), 64));
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (error != std::errc() || pid <= 0) {
    return Fail(Code::kNotFound, "'{}' holds no pid", paths.PidFile());
  }
  return pid;
}

Status Overwrite(const os::FileLock& lock, const std::string& path, const std::string& text) {
  if (::ftruncate(lock.fd(), 0) < 0 || ::pwrite(lock.fd(), text.data(), text.size(), 0) < 0) {
    return Fail(ErrnoError("cannot write '" + path + "'"));
  }
  return {};
}

// Sandboxes outlive their server, so the folder is its root's also while no server runs.
Result<os::FileLock> TakeRuntime(const os::Paths& paths) {
  const std::string path = paths.RuntimeLock();
  ASSIGN_OR_RETURN(auto taken, os::FileLock::TryAcquire(path));
  ASSIGN_OR_RETURN(const std::string owner, ReadFile(path));
  if (!taken) {
    return Fail(Code::kFailedPrecondition,
                "the server of the root '{}' already uses the runtime folder '{}': choose another "
                "with --runtime",
                owner, paths.runtime);
  }
  const auto sockets = os::ListDirectory(paths.runtime + "/sb");
  if (owner != paths.root && !owner.empty() && os::Exists(owner) && sockets && !sockets->empty()) {
    return Fail(Code::kFailedPrecondition,
                "the runtime folder '{}' belongs to sandboxes of the root '{}': choose another "
                "with --runtime, or start a server on that root and remove them",
                paths.runtime, owner);
  }
  if (owner != paths.root) RETURN_IF_ERROR(Overwrite(*taken, path, paths.root));
  return std::move(*taken);
}

}  // namespace

Result<RootLock> RootLock::Acquire(const os::Paths& paths) {
  ASSIGN_OR_RETURN(auto taken, os::FileLock::TryAcquire(paths.PidFile()));
  auto pid = ReadPid(paths);
  // Without a pid it may only be somebody who looks (RunningServer), or a server that has just
  // begun.
  for (int i = 0; !taken && !pid && i < kLooks; ++i) {
    ::usleep(kLookPause);
    ASSIGN_OR_RETURN(taken, os::FileLock::TryAcquire(paths.PidFile()));
    pid = ReadPid(paths);
  }
  if (!taken) {
    return Fail(Code::kFailedPrecondition,
                "a server (pid {}) already runs on '{}': end it with 'wrenn serve --stop', or take "
                "another root with --root",
                pid ? std::to_string(*pid) : "unknown", paths.root);
  }
  ASSIGN_OR_RETURN(os::FileLock runtime, TakeRuntime(paths));
  RootLock lock(std::move(*taken), std::move(runtime));
  RETURN_IF_ERROR(Overwrite(lock.lock_, paths.PidFile(), std::to_string(::getpid()) + "\n"));
  return lock;
}

RootLock::~RootLock() {
  // Unlocked, the file means nothing; empty, it does not mislead people either.
  if (lock_.fd() >= 0) [[maybe_unused]]
    const int emptied = ::ftruncate(lock_.fd(), 0);
}

Result<pid_t> RunningServer(const os::Paths& paths) {
  const UniqueFd file(::open(paths.PidFile().c_str(), O_RDONLY | O_CLOEXEC));
  if (!file && errno == ENOENT) return Fail(Code::kNotFound, "no server runs on '{}'", paths.root);
  if (!file) return Fail(ErrnoError("cannot open '" + paths.PidFile() + "'"));
  // A shared lock cannot be had while a server holds its own, and keeps nobody from starting for
  // longer than this look.
  if (::flock(file.get(), LOCK_SH | LOCK_NB) == 0) {
    return Fail(Code::kNotFound, "no server runs on '{}'", paths.root);
  }
  return ReadPid(paths);
}

}  // namespace wrenn::server
