#include "os/seccomp_filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace wrenn::os {
namespace {

#ifndef __x86_64__
#error "the numbers of this list are those of x86-64"
#endif

// Newer than the headers of Debian 12.
constexpr uint32_t kStatmount = 457;
constexpr uint32_t kListmount = 458;
constexpr uint32_t kOpenTreeAttr = 467;
// The last one that was looked at for this list: file_setattr(2), Linux 6.17.
constexpr uint32_t kLastKnown = 469;
constexpr uint32_t kX32Bit = 0x40000000;

constexpr uint32_t kRefused[] = {
    // Mounts and roots.
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_open_tree, SYS_move_mount, SYS_fsopen,
    SYS_fsconfig, SYS_fsmount, SYS_fspick, SYS_mount_setattr, kStatmount, kListmount, kOpenTreeAttr,
    // Namespaces; clone(2) is looked at below.
    SYS_setns, SYS_unshare,
    // Other processes.
    SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_process_madvise, SYS_kcmp,
    SYS_pidfd_getfd, SYS_move_pages, SYS_migrate_pages,
    // The kernel itself.
    SYS_kexec_load, SYS_kexec_file_load, SYS_init_module, SYS_finit_module, SYS_delete_module,
    SYS_create_module, SYS_query_module, SYS_get_kernel_syms, SYS_bpf, SYS_perf_event_open,
    SYS_syslog, SYS_reboot, SYS_acct, SYS_swapon, SYS_swapoff, SYS_iopl, SYS_ioperm,
    SYS_lookup_dcookie, SYS__sysctl, SYS_sysfs, SYS_ustat, SYS_nfsservctl, SYS_uselib, SYS_vhangup,
    SYS_sethostname, SYS_setdomainname,
    // Keys.
    SYS_add_key, SYS_request_key, SYS_keyctl,
    // Large and often broken, or a help in using what is broken.
    SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register, SYS_userfaultfd, SYS_personality,
    SYS_modify_ldt,
    // Files past their names, device nodes, quotas, other users' files.
    SYS_open_by_handle_at, SYS_name_to_handle_at, SYS_mknod, SYS_mknodat, SYS_quotactl,
    SYS_quotactl_fd, SYS_fanotify_init, SYS_fanotify_mark,
    // Clocks.
    SYS_settimeofday, SYS_clock_settime, SYS_clock_adjtime, SYS_adjtimex};

constexpr uint32_t kNewNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                                    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

constexpr sock_filter Load(size_t offset) {
  return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset));
}
constexpr sock_filter Return(uint32_t what) { return BPF_STMT(BPF_RET | BPF_K, what); }
constexpr sock_filter Refuse(int error) {
  return Return(SECCOMP_RET_ERRNO | static_cast<uint32_t>(error));
}
// Goes on with the next instruction when it holds, else leaves out `skip`.
constexpr sock_filter If(uint16_t test, uint32_t value, uint8_t skip) {
  return BPF_JUMP(static_cast<uint16_t>(BPF_JMP | test | BPF_K), value, 0, skip);
}

}  // namespace

std::vector<sock_filter> JailFilter() {
  std::vector<sock_filter> program = {
      Load(offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
      Refuse(EPERM),
      Load(offsetof(seccomp_data, nr)),
      If(BPF_JGE, kX32Bit, 1),
      Refuse(EPERM),
      If(BPF_JGT, kLastKnown, 1),
      Refuse(ENOSYS),
      If(BPF_JEQ, SYS_clone3, 1),
      Refuse(ENOSYS),
  };
  // One after the other: the kernel remembers which calls always pass and does not ask again.
  for (const uint32_t number : kRefused) {
    program.push_back(If(BPF_JEQ, number, 1));
    program.push_back(Refuse(EPERM));
  }
  program.insert(program.end(),
                 {If(BPF_JEQ, SYS_clone, 3),
                  // The flags are the first argument, in its lower half.
                  Load(offsetof(seccomp_data, args)), If(BPF_JSET, kNewNamespaces, 1),
                  Refuse(EPERM), Return(SECCOMP_RET_ALLOW)});
  return program;
}

}  // namespace wrenn::os
