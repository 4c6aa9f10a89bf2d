#include "os/net_namespace.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <thread>

#include "base/io.h"

namespace wrenn::os {
namespace {

constexpr const char* kOfThisThread = "/proc/thread-self/ns/net";

Status OnOwnThread(const std::function<Status()>& work) {
  Status status;
  try {
    std::thread thread([&] { status = work(); });
    thread.join();
  } catch (const std::system_error&) {
    return Fail(Code::kResourceExhausted, "cannot make a thread");
  }
  return status;
}

Result<UniqueFd> OpenNamespace(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return Fail(ErrnoError("cannot open the network namespace '" + path + "'"));
  struct statfs info{};
  if (::fstatfs(fd.get(), &info) < 0) return Fail(ErrnoError("fstatfs"));
  if (info.f_type != NSFS_MAGIC) {
    return Fail(Code::kFailedPrecondition, "'{}' is no network namespace: nothing is mounted there",
                path);
  }
  return fd;
}

}  // namespace

Result<NetNamespace> NetNamespace::Create() {
  UniqueFd fd;
  RETURN_IF_ERROR(OnOwnThread([&]() -> Status {
    if (::unshare(CLONE_NEWNET) < 0) return Fail(ErrnoError("cannot make a network namespace"));
    ASSIGN_OR_RETURN(fd, OpenNamespace(kOfThisThread));
    return {};
  }));
  return NetNamespace(std::move(fd));
}

Result<NetNamespace> NetNamespace::Open(const std::string& path) {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenNamespace(path));
  return NetNamespace(std::move(fd));
}

Result<NetNamespace> NetNamespace::Current() { return Open(kOfThisThread); }

Status NetNamespace::Run(const std::function<Status()>& work) const {
  return OnOwnThread([&]() -> Status {
    if (::setns(fd_.get(), CLONE_NEWNET) < 0) {
      return Fail(ErrnoError("cannot enter a network namespace"));
    }
    return work();
  });
}

Status NetNamespace::Keep(const std::string& path) const {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400));
  if (!file) return Fail(ErrnoError("cannot make '" + path + "'"));
  const std::string self = fmt::format("/proc/self/fd/{}", fd_.get());
  if (::mount(self.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) < 0) {
    Error error = ErrnoError("cannot mount a network namespace at '" + path + "'");
    ::unlink(path.c_str());
    return Fail(std::move(error));
  }
  return {};
}

Status NetNamespace::Drop(const std::string& path) {
  // EINVAL: nothing is mounted there.
  if (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL &&
      errno != ENOENT) {
    return Fail(ErrnoError("cannot unmount '" + path + "'"));
  }
  if (::unlink(path.c_str()) < 0 && errno != ENOENT) {
    return Fail(ErrnoError("cannot remove '" + path + "'"));
  }
  return {};
}

Status SetNetworkVariable(const std::string& name, const std::string& value) {
  const std::string path = "/proc/sys/net/" + name;
  // Read first: in a container it may be right and not ours to write.
  if (const auto now = ReadFile(path); now && *now == value + "\n") return {};
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd || WriteQuietly(fd.get(), value) < 0) {
    return Fail(ErrnoError(fmt::format("cannot set {} to {}", path, value)));
  }
  return {};
}

}  // namespace wrenn::os
