#include "server/signals.h"

#include <pthread.h>
#include <sys/signalfd.h>

#include <csignal>

namespace wrenn::server {

Result<StopSignals> StopSignals::Block() {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGHUP, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  UniqueFd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return Fail(ErrnoError("cannot wait for signals"));
  return StopSignals(std::move(fd));
}

Result<int> StopSignals::Wait() {
  signalfd_siginfo info;
  ASSIGN_OR_RETURN(
      [[maybe_unused]] const size_t got,
      ReadSome(fd_.get(), {reinterpret_cast<char*>(&info), sizeof info}, Deadline::Never()));
  return static_cast<int>(info.ssi_signo);
}

}  // namespace wrenn::server
