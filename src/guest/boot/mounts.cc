#include "guest/boot/mounts.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace wrenn::guest {
namespace {

struct MountRow {
  const char* source;
  const char* target;
  const char* type;
  unsigned long flags;
  const char* options;
};

constexpr unsigned long kQuiet = MS_NOSUID | MS_NOEXEC | MS_NODEV;

constexpr std::array<MountRow, 3> kEssentials = {{
    {"devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755"},
    {"proc", "/proc", "proc", kQuiet, ""},
    {"sysfs", "/sys", "sysfs", kQuiet, ""},
}};

// gid 5 is the group tty, which owns terminals. favordynmods (Linux 6.0): without it every process
// that enters its cgroup waits some 100 ms for an RCU grace period.
constexpr std::array<MountRow, 5> kRest = {{
    {"devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=0620,ptmxmode=0666"},
    {"tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"},
    {"tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755"},
    {"cgroup2", "/sys/fs/cgroup", "cgroup2", kQuiet, "nsdelegate,favordynmods"},
    {"mqueue", "/dev/mqueue", "mqueue", kQuiet, ""},
}};

Status MountOne(const MountRow& row) {
  ::mkdir(row.target, 0755);
  if (::mount(row.source, row.target, row.type, row.flags, row.options) < 0 && errno != EBUSY) {
    // An older kernel does not know the last option; it is there for speed.
    const std::string options = row.options;
    const std::string fewer = options.substr(0, options.rfind(','));
    if (errno == EINVAL && fewer.size() < options.size() &&
        ::mount(row.source, row.target, row.type, row.flags, fewer.c_str()) == 0) {
      return {};
    }
    return Fail(ErrnoError(fmt::format("cannot mount {} on {}", row.type, row.target)));
  }
  return {};
}

struct LinkRow {
  const char* target;
  const char* path;
};
constexpr std::array<LinkRow, 5> kLinks = {{
    {"pts/ptmx", "/dev/ptmx"},
    {"/proc/self/fd", "/dev/fd"},
    {"/proc/self/fd/0", "/dev/stdin"},
    {"/proc/self/fd/1", "/dev/stdout"},
    {"/proc/self/fd/2", "/dev/stderr"},
}};

}  // namespace

Status MountEssentials() {
  for (const MountRow& row : kEssentials) RETURN_IF_ERROR(MountOne(row));
  return {};
}

std::string MountRest() {
  std::string failures;
  const auto note = [&](const Status& status) {
    if (!status) failures += status.error().message + "\n";
  };
  for (const MountRow& row : kRest) note(MountOne(row));
  for (const LinkRow& link : kLinks) {
    // devtmpfs has a ptmx of its own, which belongs to no devpts of ours.
    if (std::string_view(link.path) == "/dev/ptmx") ::unlink(link.path);
    [[maybe_unused]] const int made = ::symlink(link.target, link.path);
  }
  ::chmod("/tmp", 01777);
  ::mkdir("/run/lock", 01777);
  return failures;
}

}  // namespace wrenn::guest
