#include "cli/signals.h"

#include <poll.h>
#include <sys/signalfd.h>

#include <cerrno>
#include <utility>

#include "base/io.h"

namespace wrenn::cli {

Result<SignalSource> SignalSource::Take(std::initializer_list<int> signals) {
  sigset_t set;
  sigset_t old;
  ::sigemptyset(&set);
  for (const int signal : signals) ::sigaddset(&set, signal);
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return Fail(ErrnoError("cannot take signals"));
  if (const int error = ::pthread_sigmask(SIG_BLOCK, &set, &old); error != 0) {
    return Fail(ErrnoError("cannot take signals", error));
  }
  return SignalSource(std::move(fd), old);
}

SignalSource::~SignalSource() {
  if (!armed_) return;
  // What came and was not read has been answered by the end of what it would have ended.
  while (Next()) {
  }
  ::pthread_sigmask(SIG_SETMASK, &old_, nullptr);
}

std::optional<int> SignalSource::Next() {
  signalfd_siginfo info;
  if (::read(fd_.get(), &info, sizeof info) != sizeof info) return std::nullopt;
  return static_cast<int>(info.ssi_signo);
}

SignalWatch::SignalWatch(SignalSource& signals, UniqueFd stop, std::function<void()> on_signal)
    : signals_(signals), stop_(std::move(stop)), thread_([this, act = std::move(on_signal)] {
        while (signal_ == 0 && WaitUnlessStopped(signals_.fd(), stop_.get())) {
          signal_ = signals_.Next().value_or(0);
        }
        if (signal_ != 0) act();
      }) {}

int SignalWatch::Finish() {
  if (thread_.joinable()) {
    SignalEventFd(stop_.get());
    thread_.join();
  }
  return signal_;
}

bool WaitUnlessStopped(int fd, int stop) {
  pollfd entries[2] = {{fd, POLLIN, 0}, {stop, POLLIN, 0}};
  while (::poll(entries, 2, -1) < 0 && errno == EINTR) {
  }
  return entries[1].revents == 0;
}

}  // namespace wrenn::cli
