#include "os/process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/io.h"
#include "os/process_info.h"

namespace wrenn::os {
namespace {

// Everything that the child needs, made ready before fork(2): between fork and execve of a program
// with threads only async-signal-safe functions may run, so no allocation.
struct ChildPlan {
  const SpawnOptions* options;
  const char* program;
  std::vector<char*> argv;
  std::vector<char*> environment;
  std::vector<int> sources;  // for descriptors 0, 1, 2, 3, ...
  pid_t parent;
  int error_pipe;
};

struct ChildError {
  int error;
  char step[24];
};

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

[[noreturn]] void ChildFail(const ChildPlan& plan, const char* step) {
  ChildError report{errno, {}};
  for (size_t i = 0; step[i] != '\0' && i + 1 < sizeof report.step; ++i) report.step[i] = step[i];
  [[maybe_unused]] const ssize_t n = ::write(plan.error_pipe, &report, sizeof report);
  ::_exit(127);
}

// Puts plan.sources at 0, 1, 2, ... and marks everything above close-on-exec.
void ChildMoveDescriptors(ChildPlan& plan) {
  const int count = static_cast<int>(plan.sources.size());
  // First all out of the way, then each to its place: a source may be another's place.
  for (int& source : plan.sources) {
    source = ::fcntl(source, F_DUPFD_CLOEXEC, count);
    if (source < 0) ChildFail(plan, "duplicate descriptors");
  }
  plan.error_pipe = ::fcntl(plan.error_pipe, F_DUPFD_CLOEXEC, count);
  for (int target = 0; target < count; ++target) {
    if (::dup2(plan.sources[static_cast<size_t>(target)], target) < 0) {
      ChildFail(plan, "duplicate descriptors");
    }
  }
  if (::close_range(static_cast<unsigned>(count), ~0U, CLOSE_RANGE_CLOEXEC) < 0) {
    for (int fd = count; fd < 65536; ++fd) ::fcntl(fd, F_SETFD, FD_CLOEXEC);  // before Linux 5.11
  }
}

[[noreturn]] void ChildMain(ChildPlan& plan) {
  const SpawnOptions& options = *plan.options;
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &standard, nullptr);
  ChildMoveDescriptors(plan);
  if (options.new_session && ::setsid() < 0) ChildFail(plan, "start a session");
  if (options.die_with_parent) {
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) ChildFail(plan, "set the parent's signal");
    if (::getppid() != plan.parent) ::_exit(127);  // it ended before the call above
  }
  if (!options.directory.empty() && ::chdir(options.directory.c_str()) < 0) {
    ChildFail(plan, "enter its folder");
  }
  if (options.umask) ::umask(*options.umask);
  for (const auto& [resource, value] : options.limits) {
    // A limit cannot be set above the one that holds already; that one is as good.
    rlimit now{};
    ::getrlimit(resource, &now);
    const rlim_t wanted = value < now.rlim_max ? value : now.rlim_max;
    const rlimit limit{wanted, wanted};
    if (::setrlimit(resource, &limit) < 0) ChildFail(plan, "set a limit");
  }
  if (options.no_new_privileges && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
    ChildFail(plan, "give up privileges");
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execve(plan.program, plan.argv.data(), plan.environment.data());
  ChildFail(plan, "execute");
}

// fork(2) with all signals blocked, so that no handler of ours runs in the child.
pid_t ForkAndRun(ChildPlan& plan) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::fork();
  if (pid == 0) ChildMain(plan);
  const int error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return pid;
}

UniqueFd OpenPidfd(pid_t pid) {
  return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
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
  ASSIGN_OR_RETURN(const std::string program, FindProgram(options.argv.front()));
  UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return Fail(ErrnoError("cannot open '/dev/null'"));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return Fail(ErrnoError("cannot make a pipe"));
  UniqueFd error_read(ends[0]);
  UniqueFd error_write(ends[1]);

  ChildPlan plan{&options, program.c_str(), Pointers(options.argv), {},
                 {},       ::getpid(),      error_write.get()};
  if (options.environment) {
    plan.environment = Pointers(*options.environment);
  } else {
    for (char** entry = environ; *entry; ++entry) plan.environment.push_back(*entry);
    plan.environment.push_back(nullptr);
  }
  for (const int fd : {options.stdin_fd, options.stdout_fd, options.stderr_fd}) {
    plan.sources.push_back(fd >= 0 ? fd : null.get());
  }
  plan.sources.insert(plan.sources.end(), options.pass_fds.begin(), options.pass_fds.end());

  const pid_t pid = ForkAndRun(plan);
  if (pid < 0) return Fail(ErrnoError("cannot start '" + options.argv.front() + "'"));
  // Nobody but us waits for this child, so its pid cannot be another's yet.
  Process process(pid, OpenPidfd(pid), 0, true);
  error_write.Reset();
  ChildError report{};
  const auto got = ReadSome(error_read.get(), {reinterpret_cast<char*>(&report), sizeof report},
                            Deadline::Never());
  if (got && *got == sizeof report) {
    ::waitpid(pid, nullptr, 0);
    Error error = ErrnoError(fmt::format("cannot start '{}'", options.argv.front()), report.error);
    error.detail = fmt::format("could not {}", report.step);
    return Fail(std::move(error));
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
