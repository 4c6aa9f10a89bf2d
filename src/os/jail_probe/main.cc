// What the tests of jails and cgroups start: tries to get out, and to take too much. Static, so
// that it needs nothing in its jail.
//
//   jail-probe self               who it is and what it has, as lines "name value"
//   jail-probe list FOLDER        the names in a folder
//   jail-probe escape PID SOCKET  what must not work, as lines "name errno"; PID: one outside,
//   SOCKET: the
//                                 name of an abstract one outside
//   jail-probe calls              the refused system calls, as lines "name errno"
//   jail-probe wait               says "ready" and waits
//   jail-probe eat                takes memory without end; fork: processes; spin: time
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <string_view>

namespace {

void Say(const char* name, long value) { std::printf("%s %ld\n", name, value); }

// Says errno, or 0 when the call did not fail.
void Tell(const char* name, long result) { Say(name, result < 0 ? errno : 0); }

int Open(const char* path, int flags) { return ::open(path, flags, 0600); }

void Self() {
  Say("pid", ::getpid());
  Say("parent", ::getppid());
  Say("session", ::getsid(0));
  uid_t uids[3];
  gid_t gids[3];
  ::getresuid(&uids[0], &uids[1], &uids[2]);
  ::getresgid(&gids[0], &gids[1], &gids[2]);
  for (const uid_t uid : uids) Say("uid", uid);
  for (const gid_t gid : gids) Say("gid", gid);
  Say("groups", ::getgroups(0, nullptr));
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  Tell("capget", ::syscall(SYS_capget, &header, data));
  Say("effective", data[0].effective | data[1].effective);
  Say("permitted", data[0].permitted | data[1].permitted);
  Say("inheritable", data[0].inheritable | data[1].inheritable);
  int bounding = 0;
  int ambient = 0;
  for (unsigned long i = 0; i < 64; ++i) {
    bounding += ::prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1;
    ambient += ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0) == 1;
  }
  Say("bounding", bounding);
  Say("ambient", ambient);
  Say("securebits", ::prctl(PR_GET_SECUREBITS));
  Say("no_new_privs", ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  Say("seccomp", ::prctl(PR_GET_SECCOMP));
  int parent_signal = 0;
  ::prctl(PR_GET_PDEATHSIG, &parent_signal);
  Say("parent_signal", parent_signal);
  rlimit core{};
  ::getrlimit(RLIMIT_CORE, &core);
  Say("core", static_cast<long>(core.rlim_max));
  sigset_t mask;
  ::sigprocmask(SIG_SETMASK, nullptr, &mask);
  Say("blocked", ::sigismember(&mask, SIGTERM));
  for (int fd = 0; fd < 4096; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) Say("descriptor", fd);
  }
  char host[65] = {};
  ::gethostname(host, sizeof host - 1);
  std::printf("host %s\n", host);
  char directory[256] = {};
  std::printf("directory %s\n", ::getcwd(directory, sizeof directory));
  for (char** entry = environ; *entry; ++entry) std::printf("environment %s\n", *entry);
}

void List(const char* folder) {
  DIR* dir = ::opendir(folder);
  if (!dir) return Tell("opendir", -1);
  while (const dirent* entry = ::readdir(dir)) std::puts(entry->d_name);
  ::closedir(dir);
}

// In a child: its exit code, or minus the signal that killed it.
template <typename Function>
long InChild(const Function& function) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(function());
  int status = 0;
  if (pid < 0 || ::waitpid(pid, &status, 0) != pid) return -1000;
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int Execute(const char* path) {
  ::execl(path, path, "uid", nullptr);
  return errno;
}

void TryAbstractSocket(const char* name) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const size_t length = std::strlen(name);
  std::memcpy(address.sun_path + 1, name, length);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + length);
  Tell("abstract_socket", ::connect(fd, reinterpret_cast<sockaddr*>(&address), size));
}

void TryNetwork() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(80);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  Tell("loopback", ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address));
  Tell("raw_socket", ::socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
  Tell("packet_socket", ::socket(AF_PACKET, SOCK_RAW, 0));
}

void Escape(pid_t outside, const char* socket_name) {
  Tell("write_read_only", Open("/ro/file", O_WRONLY));
  Tell("create_read_only", Open("/ro/new", O_WRONLY | O_CREAT));
  Tell("chmod_read_only", ::chmod("/ro/own", 0777));
  Tell("write_below_read_only", Open("/ro/mounted/file", O_WRONLY));
  Tell("device_in_bind", Open("/rw/device", O_RDONLY));
  Tell("write_writable", Open("/rw/new", O_WRONLY | O_CREAT));
  Tell("create_in_root", ::mkdir("/new", 0700));
  Tell("replace_in_root", ::rename("/link", "/other"));
  Tell("write_own_folder", Open("/run/own/new", O_WRONLY | O_CREAT));
  Tell("null", Open("/dev/null", O_RDWR));
  Say("execute_not_executable", InChild([] { return Execute("/rw/probe"); }));
  Say("execute_own", InChild([] { return Execute("/run/own/probe"); }));
  Say("set_uid_program", InChild([] { return Execute("/bin/set-uid"); }));
  Tell("remount", ::mount(nullptr, "/ro", nullptr, MS_REMOUNT | MS_BIND, nullptr));
  Tell("unmount", ::umount2("/ro", MNT_DETACH));
  Tell("mknod", ::mknod("/run/own/mem", S_IFCHR | 0600, 0x101));
  for (const char* path : {"/proc", "/sys", "/etc", "/../../etc", "/link/passwd", "/dev/mem",
                           "/rw/../../etc", "/rw/link", "/ro/../.."}) {
    char name[64];
    std::snprintf(name, sizeof name, "open:%s", path);
    Tell(name, Open(path, O_RDONLY));
  }
  Tell("kill_all", ::kill(-1, 0));
  Tell("kill_outside", ::kill(outside, 0));
  Tell("pidfd_outside", ::syscall(SYS_pidfd_open, outside, 0));
  Tell("ptrace_outside", ::ptrace(PTRACE_ATTACH, outside, nullptr, nullptr));
  Tell("priority_outside", ::getpriority(PRIO_PROCESS, static_cast<id_t>(outside)));
  Tell("setuid", ::setuid(0));
  Tell("setgid", ::setgid(0));
  Tell("setgroups", ::syscall(SYS_setgroups, 0, nullptr));
  Tell("securebits", ::prctl(PR_SET_SECUREBITS, 0, 0, 0, 0));
  Tell("nice", ::setpriority(PRIO_PROCESS, 0, -10));
  rlimit core{RLIM_INFINITY, RLIM_INFINITY};
  Tell("raise_limit", ::setrlimit(RLIMIT_CORE, &core));
  TryAbstractSocket(socket_name);
  TryNetwork();
}

long CallI386() {
  return InChild([] {
    int result = 20;  // getpid
    asm volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
    return result < 0 ? -result : 0;
  });
}

// A filter of the program's own, as VMMs have: with it getppid(2) fails with EDOM.
void TryOwnFilter() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EDOM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{4, program};
  Tell("own_filter",
       ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter));
  Tell("own_filter_works", ::syscall(SYS_getppid));
}

void Calls() {
#define TRY(name) Tell(#name, ::syscall(SYS_##name, 0, 0, 0, 0, 0, 0))
  TRY(mount), TRY(umount2), TRY(pivot_root), TRY(chroot), TRY(open_tree), TRY(move_mount);
  TRY(fsopen), TRY(fsconfig), TRY(fsmount), TRY(fspick), TRY(mount_setattr), TRY(setns);
  TRY(unshare), TRY(ptrace), TRY(process_vm_readv), TRY(process_vm_writev), TRY(kcmp);
  TRY(pidfd_getfd), TRY(kexec_load), TRY(kexec_file_load), TRY(init_module), TRY(finit_module);
  TRY(delete_module), TRY(bpf), TRY(perf_event_open), TRY(syslog), TRY(reboot), TRY(acct);
  TRY(swapon), TRY(swapoff), TRY(iopl), TRY(ioperm), TRY(sethostname), TRY(setdomainname);
  TRY(add_key), TRY(request_key), TRY(keyctl), TRY(io_uring_setup), TRY(io_uring_enter);
  TRY(io_uring_register), TRY(userfaultfd), TRY(personality), TRY(modify_ldt);
  TRY(open_by_handle_at), TRY(name_to_handle_at), TRY(mknod), TRY(mknodat), TRY(quotactl);
  TRY(fanotify_init), TRY(settimeofday), TRY(clock_settime), TRY(clock_adjtime), TRY(adjtimex);
#undef TRY
  for (const long flag : {CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWUTS,
                          CLONE_NEWIPC, CLONE_NEWCGROUP}) {
    // Were it let through, the child would end at once.
    const long pid = ::syscall(SYS_clone, flag | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) ::_exit(0);
    Tell("clone", pid);
  }
  Tell("x32", ::syscall(0x40000000 | SYS_getpid));
  Say("clone3", ::syscall(SYS_clone3, nullptr, 0) < 0 && errno == ENOSYS ? EPERM : errno);
  Say("unknown", ::syscall(SYS_getpid + 10000) < 0 && errno == ENOSYS ? EPERM : errno);
  const long i386 = CallI386();
  Say("i386", i386 == -SIGSEGV ? EPERM : i386);  // a kernel without that entry
}

void Eat() {
  constexpr size_t kChunk = 1 << 20;
  for (;;) {
    void* memory =
        ::mmap(nullptr, kChunk, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) continue;
    std::memset(memory, 1, kChunk);
  }
}

// Says how many it could make, and waits with all of them.
void Fork() {
  long made = 0;
  for (; made < 1000; ++made) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      for (;;) ::pause();
    }
    if (pid < 0) break;
  }
  Say("made", made);
  std::fflush(stdout);
  for (;;) ::pause();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  if (mode == "self") Self();
  if (mode == "list") List(argv[2]);
  if (mode == "escape") Escape(std::atoi(argv[2]), argv[3]);
  if (mode == "calls") Calls();
  if (mode == "filter") TryOwnFilter();
  if (mode == "uid") return static_cast<int>(::geteuid() != 0 ? 77 : 78);
  if (mode == "wait") {
    std::puts("ready");
    std::fflush(stdout);
    for (;;) ::pause();
  }
  if (mode == "eat") Eat();
  if (mode == "fork") Fork();
  while (mode == "spin") {
  }
  return 0;
}
