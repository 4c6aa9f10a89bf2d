#include "os/spawn_child.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "os/jail_child.h"

namespace wrenn::os {
namespace {

[[noreturn]] void ChildFail(const ChildPlan& plan, const char* step) {
  ChildError report{errno, {}};
  for (size_t i = 0; step[i] != '\0' && i + 1 < sizeof report.step; ++i) report.step[i] = step[i];
  [[maybe_unused]] const ssize_t n = ::write(plan.error_pipe, &report, sizeof report);
  ::_exit(127);
}

// Fails with the step that `step`, an answer of jail_child.h, names.
void ChildCheck(const ChildPlan& plan, const char* step) {
  if (step) ChildFail(plan, step);
}

// Puts plan.sources at 0, 1, 2, ... and marks everything above close-on-exec.
void ChildMoveDescriptors(ChildPlan& plan) {
  const int count = static_cast<int>(plan.sources.size());
  // First all out of the way, then each to its place: a source may be another's place.
  for (int& source : plan.sources) {
    source = ::fcntl(source, F_DUPFD_CLOEXEC, count);
    if (source < 0) ChildFail(plan, "duplicate descriptors");
  }
  for (int* other : {&plan.error_pipe, &plan.parent}) {
    const int moved = ::fcntl(*other, F_DUPFD_CLOEXEC, count);
    if (moved < 0) ChildFail(plan, "duplicate descriptors");
    *other = moved;
  }
  for (int target = 0; target < count; ++target) {
    if (::dup2(plan.sources[static_cast<size_t>(target)], target) < 0) {
      ChildFail(plan, "duplicate descriptors");
    }
  }
  if (::close_range(static_cast<unsigned>(count), ~0U, CLOSE_RANGE_CLOEXEC) < 0) {
    for (int fd = count; fd < 65536; ++fd) ::fcntl(fd, F_SETFD, FD_CLOEXEC);  // before Linux 5.11
  }
}

void ChildSetLimits(const ChildPlan& plan) {
  for (const auto& [resource, value] : plan.options->limits) {
    // A limit cannot be set above the one that holds already; that one is as good.
    rlimit now{};
    ::getrlimit(resource, &now);
    const rlim_t wanted = value < now.rlim_max ? value : now.rlim_max;
    const rlimit limit{wanted, wanted};
    if (::setrlimit(resource, &limit) < 0) ChildFail(plan, "set a limit");
  }
}

// Of a program whose parent ended before it began nobody has written down anything, and nobody
// would end it. In a pid namespace of one's own getppid(2) cannot tell.
void ChildEndWithoutParent(const ChildPlan& plan) {
  pollfd parent{plan.parent, POLLIN, 0};
  if (::poll(&parent, 1, 0) != 0) ::_exit(127);
}

}  // namespace

void RunChild(ChildPlan& plan) {
  const SpawnOptions& options = *plan.options;
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &standard, nullptr);
  if (plan.jail) ChildCheck(plan, EnterJail(*plan.jail));
  ChildMoveDescriptors(plan);
  if (options.new_session && ::setsid() < 0) ChildFail(plan, "start a session");
  if (options.umask) ::umask(*options.umask);
  ChildSetLimits(plan);
  if (plan.jail) ChildCheck(plan, DropPrivileges(*plan.jail));
  if (options.no_new_privileges && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
    ChildFail(plan, "give up privileges");
  }
  if (options.no_huge_pages && ::prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) < 0) {
    ChildFail(plan, "do without huge pages");
  }
  // As the user that it runs as.
  if (!options.directory.empty() && ::chdir(options.directory.c_str()) < 0) {
    ChildFail(plan, "enter its folder");
  }
  // A change of the user clears it, so not earlier.
  if (options.die_with_parent && ::prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) {
    ChildFail(plan, "set the parent's signal");
  }
  if (plan.jail) ChildCheck(plan, InstallFilter(*plan.jail));
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ChildEndWithoutParent(plan);
  ::execve(plan.program, plan.argv.data(), plan.environment.data());
  ChildFail(plan, kExecuteStep.data());
}

}  // namespace wrenn::os
