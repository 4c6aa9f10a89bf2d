#include "server/root_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "base/io.h"

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
  RootLock lock(std::move(*taken));
  const std::string text = std::to_string(::getpid()) + "\n";
  if (::ftruncate(lock.lock_.fd(), 0) < 0 ||
      ::pwrite(lock.lock_.fd(), text.data(), text.size(), 0) < 0) {
    return Fail(ErrnoError("cannot write '" + paths.PidFile() + "'"));
  }
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
