#include "os/jail_child.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace wrenn::os {
namespace {

constexpr char kHostName[] = "jail";
// Root has no capabilities by being root, none can be kept or raised, and that cannot be changed.
constexpr unsigned long kSecureBits =
    SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
    SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

// Takes every capability that this kernel has out of the bounding set.
bool EmptyBoundingSet() {
  for (unsigned long capability = 0;; ++capability) {
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    return errno == EINVAL && capability > 0;  // behind the last one
  }
}

}  // namespace

uint64_t JailCloneFlags(const JailSetup& jail) {
  return CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
         (jail.net_namespace < 0 ? CLONE_NEWNET : 0);
}

const char* EnterJail(const JailSetup& jail) {
  // So that nothing of what follows happens to the host, too.
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) {
    return kMakePrivateStep.data();
  }
  // Over the old root, then in its place, the old one on top of it, and that away (pivot_root(2)).
  if (::move_mount(jail.root.get(), "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0) {
    return "mount its root";
  }
  if (::fchdir(jail.root.get()) < 0) return "enter its root";
  if (::syscall(SYS_pivot_root, ".", ".") < 0) return kChangeRootStep.data();
  if (::umount2(".", MNT_DETACH) < 0) return "leave the host's root";
  if (::chdir("/") < 0) return "enter its root";
  // Only now, when no symbolic link can lead to the host's folders.
  for (const JailSetup::Mount& mount : jail.mounts) {
    if (::move_mount(mount.tree.get(), "", AT_FDCWD, mount.target.c_str(),
                     MOVE_MOUNT_F_EMPTY_PATH) < 0) {
      return "mount what it is given";
    }
  }
  if (jail.net_namespace >= 0 && ::setns(jail.net_namespace, CLONE_NEWNET) < 0) {
    return "join its network namespace";
  }
  // Not by clone3(2), which would make the parent's cgroup its root.
  if (::unshare(CLONE_NEWCGROUP) < 0) return "make its cgroup namespace";
  if (::sethostname(kHostName, sizeof kHostName - 1) < 0) return "set its host name";
  return nullptr;
}

const char* DropPrivileges(const JailSetup& jail) {
  // 1 instead of 0: a core_pattern that is a program would get a dump in spite of 0 (core(5)).
  const rlimit no_core{1, 1};
  if (::setrlimit(RLIMIT_CORE, &no_core) < 0) return "forbid core dumps";
  if (!EmptyBoundingSet()) return "empty the bounding set";
  if (::prctl(PR_SET_SECUREBITS, kSecureBits, 0, 0, 0) < 0) return "lock the securebits";
  if (::syscall(SYS_setgroups, 0, nullptr) < 0) return "drop the groups";
  if (::syscall(SYS_setresgid, jail.gid, jail.gid, jail.gid) < 0) return "set the group";
  if (::syscall(SYS_setresuid, jail.uid, jail.uid, jail.uid) < 0) return "set the user";
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) {
    return "clear the ambient capabilities";
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  if (::syscall(SYS_capset, &header, none) < 0) return "drop the capabilities";
  // Until execve(2): what it starts is dumpable again, and has no neighbour of its uid.
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) return "hide its memory";
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return "give up privileges";
  return nullptr;
}

const char* InstallFilter(const JailSetup& jail) {
  sock_fprog program{static_cast<unsigned short>(jail.filter.size()),
                     const_cast<sock_filter*>(jail.filter.data())};
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0) {
    return "install the system call filter";
  }
  return nullptr;
}

}  // namespace wrenn::os
