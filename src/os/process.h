// Processes by pidfd: starting, finding again, signalling, waiting.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "os/jail.h"

namespace wrenn::os {

// How a process ended.
struct ExitStatus {
  bool known = false;  // false for a process that was not our child: only its parent can learn it
  int code = 0;        // of exit(2), when signal is 0
  int signal = 0;      // that killed it

  bool Success() const { return known && code == 0 && signal == 0; }
  // "exit code 3", "killed by signal 9 (Killed)", "ended".
  std::string ToString() const;
};

// What to start and how. Nothing but the named descriptors reaches the new program; its signal
// dispositions and mask are the default ones.
struct SpawnOptions {
  std::vector<std::string> argv;  // argv[0] is looked up by FindProgram() unless it contains '/'
  std::optional<std::vector<std::string>> environment;  // "NAME=value"; absent: the caller's own,
                                                        // or none in a jail
  std::string directory;                                // to start in; empty: the caller's
  int stdin_fd = -1;                                    // -1: /dev/null, also for the next two
  int stdout_fd = -1;
  int stderr_fd = -1;
  std::vector<int> pass_fds;     // become descriptors 3, 4, ... in this order
  bool new_session = true;       // setsid(2): the group to signal is then its pid
  bool die_with_parent = false;  // SIGKILL when the *thread* that spawned it ends (prctl(2))
  bool no_new_privileges = false;
  bool no_huge_pages = false;  // transparent ones, whatever it asks for (prctl(2))
  std::optional<mode_t> umask;
  std::vector<std::pair<__rlimit_resource, rlim_t>> limits;  // both soft and hard
  // Of a cgroup (Cgroup::fd()), where it is from its first instruction on; -1: the caller's.
  int cgroup_fd = -1;
  // With it argv[0] and `directory` are paths in the jail, the first one absolute; the directory is
  // "/" unless told.
  std::optional<Jail> jail;
};

// The path of a program: in $PATH, then in the system's sbin folders, which users' paths lack.
// kNotFound otherwise.
Result<std::string> FindProgram(const std::string& name);

// One process. A child that ends without Wait() having seen it stays a zombie until this process
// ends. Destroying the object does nothing to the process.
class Process {
 public:
  // Returns when the program runs, that is when its execve(2) has succeeded.
  static Result<Process> Spawn(const SpawnOptions& options);

  // A running process that was recorded earlier, in this boot of the machine. kNotFound when it has
  // ended (a zombie counts as ended), whoever has its pid now.
  static Result<Process> Open(pid_t pid, uint64_t start_time);

  Process(Process&&) noexcept = default;
  Process& operator=(Process&&) noexcept = default;

  pid_t pid() const { return pid_; }
  // In clock ticks since boot: with the pid and the boot id it names a process for ever.
  uint64_t start_time() const { return start_time_; }
  // Readable (POLLIN) once the process has ended.
  int pidfd() const { return pidfd_.get(); }

  // Sends a signal; harmless when it has ended.
  Status Signal(int signal) const;
  // Sends a signal to the whole group that it leads (new_session); harmless when that is empty.
  Status SignalGroup(int signal) const;

  // Waits for the end. kDeadlineExceeded when it runs on. May be called again.
  Result<ExitStatus> Wait(Deadline deadline);
  // SIGKILL, then Wait().
  Result<ExitStatus> Kill(Deadline deadline);

 private:
  Process(pid_t pid, UniqueFd pidfd, uint64_t start_time, bool child)
      : pid_(pid), pidfd_(std::move(pidfd)), start_time_(start_time), child_(child) {}

  pid_t pid_ = -1;
  UniqueFd pidfd_;
  uint64_t start_time_ = 0;
  bool child_ = false;
  std::optional<ExitStatus> exit_;
};

}  // namespace wrenn::os
