#include "cli/doctor/in_namespaces.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <utility>

#include "base/io.h"
#include "base/json.h"

namespace wrenn::cli::doctor {
namespace {

constexpr std::chrono::seconds kLimit{20};

// /proc files want one write(2) on the file as it is.
Status WriteProcFile(const char* path, const std::string& text) {
  UniqueFd fd(::open(path, O_WRONLY | O_CLOEXEC));
  if (!fd || ::write(fd.get(), text.data(), text.size()) < 0) {
    return Fail(ErrnoError(std::string("cannot write ") + path));
  }
  return {};
}

Status EnterNamespaces() {
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  if (uid == 0) {
    if (::unshare(CLONE_NEWNET) < 0) return Fail(ErrnoError("cannot make a network namespace"));
    return {};
  }
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
    return Fail(ErrnoError("cannot make a user and a network namespace"));
  }
  RETURN_IF_ERROR(WriteProcFile("/proc/self/setgroups", "deny"));
  RETURN_IF_ERROR(WriteProcFile("/proc/self/uid_map", fmt::format("0 {} 1", uid)));
  return WriteProcFile("/proc/self/gid_map", fmt::format("0 {} 1", gid));
}

// The child's life: its answer goes through the pipe as "code\nmessage".
[[noreturn]] void RunChild(int answer, const std::function<Status()>& probe) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  Status status = EnterNamespaces();
  if (!status) {
    status = Fail(Error{Code::kPermissionDenied, status.error().message, {}});
  } else {
    status = probe();
  }
  const std::string text =
      status ? "ok" : fmt::format("{}\n{}", CodeName(status.error().code), status.error().message);
  [[maybe_unused]] const ssize_t written = ::write(answer, text.data(), text.size());
  ::_exit(0);
}

}  // namespace

Status InNamespaces(const std::function<Status()>& probe) {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) < 0) return Fail(ErrnoError("cannot make a pipe"));
  const UniqueFd reading(fds[0]);
  UniqueFd writing(fds[1]);
  const pid_t child = ::fork();
  if (child < 0) return Fail(ErrnoError("cannot start a process"));
  if (child == 0) RunChild(writing.get(), probe);
  writing.Reset();
  RETURN_IF_ERROR(SetNonBlocking(reading.get()));
  std::string text;
  char buffer[4096];
  Status outcome;
  for (;;) {
    auto got = ReadSome(reading.get(), buffer, Deadline::After(kLimit));
    if (!got) outcome = Fail(got.error());
    if (!got || *got == 0) break;
    text.append(buffer, *got);
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  RETURN_IF_ERROR(std::move(outcome));
  if (text == "ok") return {};
  const size_t line = text.find('\n');
  if (line == std::string::npos) return Fail(Code::kInternal, "the probe ended early");
  return Fail(Error{CodeFromName(text.substr(0, line)), text.substr(line + 1), {}});
}

}  // namespace wrenn::cli::doctor
