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

constexpr size_t kMaxPidFile = 256;

Result<ServerOfRoot> ReadPidFile(const os::Paths& paths) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(paths.PidFile(), kMaxPidFile));
  ServerOfRoot server;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, server.pid);
  if (error != std::errc() || server.pid <= 0) {
    return Fail(Code::kNotFound, "'{}' holds no pid", paths.PidFile());
  }
  // The second line counts when it is whole.
  const std::string_view rest(end, last);
  if (rest.size() > 2 && rest.ends_with('\n')) server.url = rest.substr(1, rest.size() - 2);
  return server;
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

tl::unexpected<Error> NoServer(const os::Paths& paths) {
  return Fail(Code::kNotFound,
              "no server runs on '{}': 'wrenn serve' starts one, and WRENN_ROOT names another root",
              paths.root);
}

}  // namespace

Result<RootLock> RootLock::Acquire(const os::Paths& paths) {
  ASSIGN_OR_RETURN(auto taken, os::FileLock::TryAcquire(paths.PidFile()));
  auto other = ReadPidFile(paths);
  // Without a pid it may only be somebody who looks (RunningServer), or a server that has just
  // begun.
  for (int i = 0; !taken && !other && i < kLooks; ++i) {
    ::usleep(kLookPause);
    ASSIGN_OR_RETURN(taken, os::FileLock::TryAcquire(paths.PidFile()));
    other = ReadPidFile(paths);
  }
  if (!taken) {
    return Fail(Code::kFailedPrecondition,
                "a server (pid {}) already runs on '{}': end it with 'wrenn serve --stop', or take "
                "another root with --root",
                other ? std::to_string(other->pid) : "unknown", paths.root);
  }
  ASSIGN_OR_RETURN(os::FileLock runtime, TakeRuntime(paths));
  RootLock lock(std::move(*taken), std::move(runtime), paths.PidFile());
  RETURN_IF_ERROR(Overwrite(lock.lock_, lock.pid_file_, std::to_string(::getpid()) + "\n"));
  return lock;
}

Status RootLock::Announce(const std::string& address) {
  // The first line stays as it is, so that who looks never finds the file empty.
  const std::string text = fmt::format("{}\nhttp://{}\n", ::getpid(), address);
  if (::pwrite(lock_.fd(), text.data(), text.size(), 0) < 0) {
    return Fail(ErrnoError("cannot write '" + pid_file_ + "'"));
  }
  return {};
}

RootLock::~RootLock() {
  // Unlocked, the file means nothing; empty, it does not mislead people either.
  if (lock_.fd() >= 0) [[maybe_unused]]
    const int emptied = ::ftruncate(lock_.fd(), 0);
}

Result<ServerOfRoot> RunningServer(const os::Paths& paths) {
  const UniqueFd file(::open(paths.PidFile().c_str(), O_RDONLY | O_CLOEXEC));
  if (!file && errno == ENOENT) return NoServer(paths);
  if (!file) return Fail(ErrnoError("cannot open '" + paths.PidFile() + "'"));
  // A shared lock cannot be had while a server holds its own, and keeps nobody from starting for
  // longer than this look.
  if (::flock(file.get(), LOCK_SH | LOCK_NB) == 0) {
    return NoServer(paths);
  }
  return ReadPidFile(paths);
}

}  // namespace wrenn::server
