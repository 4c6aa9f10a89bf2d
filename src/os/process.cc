#include "os/process.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/io.h"
#include "os/jail_child.h"
#include "os/process_info.h"
#include "os/spawn_child.h"

namespace wrenn::os {
namespace {

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// A new process, in this one as fork(2) has it.
struct Started {
  pid_t pid;
  UniqueFd pidfd;
};

UniqueFd OpenPidfd(pid_t pid) {
  return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

// fork(2) that also makes the jail's namespaces and begins in a cgroup. Answers as fork(2) does.
pid_t Clone(const ChildPlan& plan, int* pidfd) {
  clone_args arguments{};
  arguments.flags = CLONE_PIDFD;
  arguments.pidfd = reinterpret_cast<uint64_t>(pidfd);
  arguments.exit_signal = SIGCHLD;
  if (plan.jail) arguments.flags |= JailCloneFlags(*plan.jail);
  if (plan.options->cgroup_fd >= 0) {
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = static_cast<uint64_t>(plan.options->cgroup_fd);
  }
  return static_cast<pid_t>(::syscall(SYS_clone3, &arguments, sizeof arguments));
}

// With all signals blocked, so that no handler of ours runs in the child. Where nothing asks for
// clone3(2) it is fork(2), which containers' system call filters let through.
Started StartChild(ChildPlan& plan) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const bool plain = !plan.jail && plan.options->cgroup_fd < 0;
  int pidfd = -1;
  const pid_t pid = plain ? ::fork() : Clone(plan, &pidfd);
  if (pid == 0) RunChild(plan);
  const int error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  if (pid < 0) return {pid, UniqueFd()};
  // Nobody but us waits for this child, so its pid cannot be another's yet.
  return {pid, plain ? OpenPidfd(pid) : UniqueFd(pidfd)};
}

Error StartError(const SpawnOptions& options) {
  const int error = errno;
  const std::string what = fmt::format("cannot start '{}'", options.argv.front());
  const bool cloned = options.jail || options.cgroup_fd >= 0;
  if (cloned && (error == ENOSYS || error == E2BIG)) {
    return Error{Code::kUnimplemented,
                 what +
                     ": a jail or a cgroup needs Linux 5.7 or later, and a container that allows "
                     "the system call 'clone3'",
                 {}};
  }
  return ErrnoError(what, error);
}

// Why a child that was made could not become the program.
Error ChildFailure(const SpawnOptions& options, const ChildError& report) {
  const std::string what = fmt::format("cannot start '{}'", options.argv.front());
  Error error = ErrnoError(what, report.error);
  if (options.jail && report.error == ENOENT && report.step == kExecuteStep) {
    error.message = what + ": it, or a library loader that it needs, is not in its jail";
  }
  if (options.jail && report.error == EINVAL &&
      (report.step == kMakePrivateStep || report.step == kChangeRootStep)) {
    error.code = Code::kUnimplemented;
    error.message = what + ": there is no jail in a chroot or on an initramfs: start wrenn outside";
  }
  error.detail = fmt::format("could not {}", report.step);
  return error;
}

ExitStatus FromSiginfo(const siginfo_t& info) {
  ExitStatus status;
  status.known = true;
  if (info.si_code == CLD_EXITED) {
    status.code = info.si_status;
  } else {
    status.signal = info.si_status;
  }
  return status;
}

bool IsProgram(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
         ::access(path.c_str(), X_OK) == 0;
}

}  // namespace

std::string ExitStatus::ToString() const {
  if (!known) return "ended";
  if (signal == 0) return fmt::format("exit code {}", code);
  const char* name = ::sigdescr_np(signal);
  return fmt::format("killed by signal {} ({})", signal, name ? name : "unknown");
}

Result<std::string> FindProgram(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    if (IsProgram(name)) return name;
    return Fail(Code::kNotFound, "'{}' is not a program", name);
  }
  const char* variable = std::getenv("PATH");
  std::string path = variable ? variable : "/usr/bin:/bin";
  path += ":/usr/local/sbin:/usr/sbin:/sbin";
  for (size_t begin = 0; begin < path.size();) {
    const size_t end = std::min(path.find(':', begin), path.size());
    const std::string folder = path.substr(begin, end - begin);
    begin = end + 1;
    // Relative entries (an empty one means here) are a trap and never needed.
    if (folder.starts_with('/') && IsProgram(folder + "/" + name)) return folder + "/" + name;
  }
  return Fail(Code::kNotFound, "program '{}' is not installed", name);
}

Result<Process> Process::Spawn(const SpawnOptions& options) {
  if (options.argv.empty()) return Fail(Code::kInvalidArgument, "no program given");
  std::string program = options.argv.front();
  std::optional<JailSetup> jail;
  if (!options.jail) {
    ASSIGN_OR_RETURN(program, FindProgram(program));
  } else {
    if (!program.starts_with('/')) {
      return Fail(Code::kInvalidArgument, "'{}' is no absolute path in a jail", program);
    }
    ASSIGN_OR_RETURN(jail, SetUpJail(*options.jail));
  }
  UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return Fail(ErrnoError("cannot open '/dev/null'"));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return Fail(ErrnoError("cannot make a pipe"));
  UniqueFd error_read(ends[0]);
  UniqueFd error_write(ends[1]);

  const UniqueFd self = OpenPidfd(::getpid());
  if (!self) return Fail(ErrnoError("cannot open a pidfd: Linux 5.3 or later is needed"));

  ChildPlan plan{};
  plan.options = &options;
  plan.program = program.c_str();
  plan.argv = Pointers(options.argv);
  plan.parent = self.get();
  plan.error_pipe = error_write.get();
  plan.jail = jail ? &*jail : nullptr;
  if (options.environment || jail) {
    if (options.environment) plan.environment = Pointers(*options.environment);
    if (plan.environment.empty()) plan.environment.push_back(nullptr);
  } else {
    for (char** entry = environ; *entry; ++entry) plan.environment.push_back(*entry);
    plan.environment.push_back(nullptr);
  }
  for (const int fd : {options.stdin_fd, options.stdout_fd, options.stderr_fd}) {
    plan.sources.push_back(fd >= 0 ? fd : null.get());
  }
  plan.sources.insert(plan.sources.end(), options.pass_fds.begin(), options.pass_fds.end());

  Started started = StartChild(plan);
  if (started.pid < 0) return Fail(StartError(options));
  const pid_t pid = started.pid;
  Process process(pid, std::move(started.pidfd), 0, true);
  error_write.Reset();
  ChildError report{};
  const auto got = ReadSome(error_read.get(), {reinterpret_cast<char*>(&report), sizeof report},
                            Deadline::Never());
  if (got && *got == sizeof report) {
    ::waitpid(pid, nullptr, 0);
    return Fail(ChildFailure(options, report));
  }
  if (!process.pidfd_) {
    Error error = ErrnoError("cannot open a pidfd: Linux 5.3 or later is needed");
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return Fail(std::move(error));
  }
  auto stat = ReadProcessStat(pid);  // a zombie has it, too
  if (!stat) {
    (void)process.Kill(Deadline::Never());
    return Fail(std::move(stat.error()));
  }
  process.start_time_ = stat->start_time;
  return process;
}

Result<Process> Process::Open(pid_t pid, uint64_t start_time) {
  if (pid <= 0) return Fail(Code::kNotFound, "no process {}", pid);
  UniqueFd pidfd = OpenPidfd(pid);
  if (!pidfd) {
    if (errno == ESRCH || errno == EINVAL) return Fail(Code::kNotFound, "no process {}", pid);
    return Fail(ErrnoError(fmt::format("cannot open process {}", pid)));
  }
  // Read after the pidfd is open: whatever has the pid now is what the pidfd means, or its
  // successor, which began later than any recorded time.
  ASSIGN_OR_RETURN(const ProcessStat stat, ReadProcessStat(pid));
  if (stat.start_time != start_time || stat.state == 'Z' || stat.state == 'X') {
    return Fail(Code::kNotFound, "process {} has ended", pid);
  }
  return Process(pid, std::move(pidfd), start_time, stat.parent == ::getpid());
}

Status Process::Signal(int signal) const {
  if (exit_) return {};
  if (::syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, nullptr, 0) < 0 && errno != ESRCH) {
    return Fail(ErrnoError(fmt::format("cannot signal process {}", pid_)));
  }
  return {};
}

Status Process::SignalGroup(int signal) const {
  // While the leader is not waited for, its pid and so the group's id cannot be another's.
  if (exit_) return {};
  if (::kill(-pid_, signal) < 0 && errno != ESRCH) {
    return Fail(ErrnoError(fmt::format("cannot signal process group {}", pid_)));
  }
  return {};
}

Result<ExitStatus> Process::Wait(Deadline deadline) {
  if (exit_) return *exit_;
  auto ready = WaitReady(pidfd_.get(), POLLIN, deadline);
  if (!ready) {
    if (ready.error().code == Code::kDeadlineExceeded) {
      return Fail(Code::kDeadlineExceeded, "process {} still runs", pid_);
    }
    return Fail(std::move(ready.error()));
  }
  ExitStatus status;
  if (child_) {
    siginfo_t info{};
    const auto id = static_cast<id_t>(pidfd_.get());
    if (::waitid(static_cast<idtype_t>(P_PIDFD), id, &info, WEXITED) == 0 && info.si_pid != 0) {
      status = FromSiginfo(info);
    }
  }
  exit_ = status;
  return status;
}

Result<ExitStatus> Process::Kill(Deadline deadline) {
  RETURN_IF_ERROR(Signal(SIGKILL));
  return Wait(deadline);
}

}  // namespace wrenn::os
