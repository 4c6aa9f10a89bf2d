#include "guest/process/spawn.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "guest/split.h"

// The child shares our memory until it has exec'ed: the sanitizers' bookkeeping must not run in it.
#define WRENN_NO_SANITIZE __attribute__((no_sanitize("address", "thread", "undefined")))

namespace wrenn::guest {
namespace {

constexpr size_t kStackSize = 64 << 10;
// What programs expect: select(2) breaks above 1024 descriptors. They may raise it themselves.
constexpr rlim_t kSoftDescriptors = 1024;

constexpr int kSignals = 64;

enum class Step { kNone, kSession, kStdio, kGroups, kGid, kUid, kCwd, kExec };

// All that the child needs, prepared before: it may not allocate. It reports into it too.
struct ChildPlan {
  std::vector<const char*> paths;
  std::vector<char*> argv;
  std::vector<char*> envp;
  std::vector<gid_t> groups;
  const SpawnRequest* request = nullptr;
  const std::vector<int>* ignored = nullptr;  // signals
  sigset_t signals;

  Step failed = Step::kNone;
  int error = 0;
};

WRENN_NO_SANITIZE bool FailAt(ChildPlan& plan, Step step) {
  plan.error = errno;
  plan.failed = step;
  return false;
}

WRENN_NO_SANITIZE bool TakeStdio(ChildPlan& plan) {
  const SpawnRequest& request = *plan.request;
  // All are above 2: the agent keeps 0 to 2 open itself.
  for (int fd = 0; fd < 3; ++fd) {
    if (::dup2(request.stdio[fd], fd) < 0) return FailAt(plan, Step::kStdio);
  }
  if (request.terminal && ::ioctl(0, TIOCSCTTY, 0) < 0) return FailAt(plan, Step::kStdio);
  return true;
}

WRENN_NO_SANITIZE void TakeLimits(const ChildPlan& plan) {
  if (plan.request->guard_agent) ::setpriority(PRIO_PROCESS, 0, 0);
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > kSoftDescriptors) {
    limit.rlim_cur = kSoftDescriptors;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
}

// The raw system calls: glibc's functions would change all threads of a process, and find ours.
WRENN_NO_SANITIZE bool BecomeUser(ChildPlan& plan) {
  const SpawnRequest& request = *plan.request;
  if (!request.user) return true;
  if (::syscall(SYS_setgroups, plan.groups.size(), plan.groups.data()) != 0) {
    return FailAt(plan, Step::kGroups);
  }
  const gid_t gid = request.user->gid;
  if (::syscall(SYS_setresgid, gid, gid, gid) != 0) return FailAt(plan, Step::kGid);
  const uid_t uid = request.user->uid;
  if (::syscall(SYS_setresuid, uid, uid, uid) != 0) return FailAt(plan, Step::kUid);
  return true;
}

WRENN_NO_SANITIZE bool Execute(ChildPlan& plan) {
  int error = ENOENT;
  for (const char* path : plan.paths) {
    ::execve(path, plan.argv.data(), plan.envp.data());
    if (errno == EACCES) error = EACCES;
    if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) {
      error = errno;
      break;
    }
  }
  errno = error;
  return FailAt(plan, Step::kExec);
}

WRENN_NO_SANITIZE void RunChild(void* argument) {
  ChildPlan& plan = *static_cast<ChildPlan*>(argument);
  // What is caught becomes the default by exec, what is ignored would stay so. (All zeros:
  // default.)
  const unsigned long defaults[4] = {};
  for (const int signal : *plan.ignored) {
    ::syscall(SYS_rt_sigaction, signal, defaults, nullptr, kSignals / 8);
  }
  if (::setsid() < 0) {
    FailAt(plan, Step::kSession);
    ::_exit(127);
  }
  ::umask(022);
  if (!TakeStdio(plan)) ::_exit(127);
  TakeLimits(plan);
  if (!BecomeUser(plan)) ::_exit(127);
  if (::chdir(plan.request->cwd.c_str()) < 0) {
    FailAt(plan, Step::kCwd);
    ::_exit(127);
  }
  // Ours are all close-on-exec; this holds should one ever not be. (Linux 5.11; else harmless.)
  ::syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &plan.signals, nullptr, kSignals / 8);
  Execute(plan);
  ::_exit(127);
}

tl::unexpected<Error> Explain(const ChildPlan& plan) {
  const SpawnRequest& request = *plan.request;
  const std::string user = request.user ? request.user->name : UserOf(::geteuid()).name;
  switch (plan.failed) {
    case Step::kExec:
      if (plan.error == ENOENT) {
        return Fail(Code::kNotFound, "command '{}' not found", request.command);
      }
      if (plan.error == EACCES) {
        return Fail(Code::kPermissionDenied, "command '{}' is not executable by user '{}'",
                    request.command, user);
      }
      if (plan.error == ENOEXEC) {
        return Fail(Code::kInvalidArgument, "command '{}' is not a program", request.command);
      }
      if (plan.error == E2BIG) {
        return Fail(Code::kInvalidArgument, "the arguments and environment are too long");
      }
      return Fail(ErrnoError("cannot run '" + request.command + "'", plan.error));
    case Step::kCwd:
      if (plan.error == EACCES) {
        return Fail(Code::kPermissionDenied, "cwd '{}' is not accessible to user '{}'", request.cwd,
                    user);
      }
      return Fail(Code::kInvalidArgument, "cwd '{}' does not exist", request.cwd);
    case Step::kGroups:
    case Step::kGid:
    case Step::kUid:
      return Fail(ErrnoError("cannot become user '" + user + "'", plan.error));
    default:
      return Fail(ErrnoError("cannot set up the process", plan.error));
  }
}

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  return pointers;
}

// The signals that this program ignores: SIGPIPE, and what came ignored from its parent. The raw
// call, since glibc does not tell of the two that it keeps to itself.
const std::vector<int>& IgnoredSignals() {
  static const std::vector<int>* const ignored = [] {
    auto* signals = new std::vector<int>();
    for (int signal = 1; signal <= kSignals; ++signal) {
      unsigned long action[4] = {};  // the kernel's struct sigaction begins with the handler
      ::syscall(SYS_rt_sigaction, signal, nullptr, action, kSignals / 8);
      if (action[0] == reinterpret_cast<unsigned long>(SIG_IGN)) signals->push_back(signal);
    }
    return signals;
  }();
  return *ignored;
}

// clone3(2), which glibc has no function for; here because it alone starts a process in another
// cgroup. The child has a stack of its own (clone_args::stack), on which it calls `run`, which must
// not return. Answers the pid or -errno.
long Clone(const clone_args& arguments, void (*run)(void*), void* argument) {
  long result = SYS_clone3;
  asm volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xor %%ebp, %%ebp\n\t"  // where a debugger's walk up the stack ends
      "mov %[argument], %%rdi\n\t"
      "call *%[run]\n\t"
      "hlt\n"
      "1:"
      : "+a"(result)
      : "D"(&arguments), "S"(sizeof arguments), [run] "b"(run), [argument] "r"(argument)
      : "rcx", "r11", "memory");
  return result;
}

// Of the child, until it execs. One per thread, kept: to make a new one each time costs a guest
// that was just restored more than all the rest of a start.
char* ChildStack() {
  static thread_local const auto stack = std::make_unique_for_overwrite<char[]>(kStackSize);
  return stack.get();
}

ChildPlan MakePlan(const SpawnRequest& request) {
  ChildPlan plan;
  plan.ignored = &IgnoredSignals();
  plan.request = &request;
  for (const std::string& path : request.paths) plan.paths.push_back(path.c_str());
  plan.argv = Pointers(request.arguments);
  plan.argv.insert(plan.argv.begin(), const_cast<char*>(request.command.c_str()));
  plan.argv.push_back(nullptr);
  plan.envp = Pointers(request.environment);
  plan.envp.push_back(nullptr);
  if (request.user) plan.groups = GroupsOf(*request.user);
  ::sigemptyset(&plan.signals);
  return plan;
}

}  // namespace

std::vector<std::string> CommandPaths(std::string_view command, std::string_view path_variable) {
  if (command.find('/') != std::string_view::npos) return {std::string(command)};
  std::vector<std::string> paths;
  for (const std::string_view folder : Split(path_variable, ':')) {
    if (!folder.empty()) paths.push_back(fmt::format("{}/{}", folder, command));
  }
  return paths;
}

Result<std::shared_ptr<Child>> Spawn(const SpawnRequest& request) {
  ChildPlan plan = MakePlan(request);
  Reaper& reaper = Reaper::Get();
  ASSIGN_OR_RETURN(std::shared_ptr<Child> child, reaper.Expect());

  // No handler of ours may run in the child, on our memory.
  sigset_t all;
  sigset_t old;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &old);
  clone_args arguments{};
  arguments.flags = CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID;
  arguments.exit_signal = SIGCHLD;
  arguments.parent_tid = reinterpret_cast<uintptr_t>(child->pid_slot());
  arguments.stack = reinterpret_cast<uintptr_t>(ChildStack());
  arguments.stack_size = kStackSize;
  if (request.cgroup >= 0) {
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = static_cast<uint64_t>(request.cgroup);
  }
  const long pid = Clone(arguments, RunChild, &plan);
  ::pthread_sigmask(SIG_SETMASK, &old, nullptr);

  if (pid < 0) {
    reaper.Forget(child);
    return Fail(ErrnoError("cannot start a process", static_cast<int>(-pid)));
  }
  reaper.Started();
  if (plan.failed != Step::kNone) return Explain(plan);
  return child;
}

}  // namespace wrenn::guest
