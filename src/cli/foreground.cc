#include "cli/foreground.h"

#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "cli/invocation.h"
#include "cli/signal_sender.h"
#include "cli/stdout_writer.h"
#include "cli/terminal.h"

namespace wrenn::cli {
namespace {

constexpr int kKillAt = 2;  // interrupts
constexpr int kGiveUpAt = 3;
constexpr int kBreakOffAgain = 20;  // milliseconds

// Copies our stdin until its end, or until `stop`. It is read as it is: making it non-blocking
// would do so for the shell that shares it.
void CopyStdin(GuestProcess& process, int stop) {
  std::string buffer(128 << 10, '\0');
  while (WaitUnlessStopped(STDIN_FILENO, stop)) {
    const ssize_t got = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    // A file that cannot be read ends as an empty one does.
    const Status sent =
        got > 0 ? process.Write(std::string_view(buffer).substr(0, static_cast<size_t>(got)))
                : process.CloseStdin();
    if (got <= 0 || !sent) return;
  }
}

wire::Signal SignalOf(int signal) {
  switch (signal) {
    case SIGHUP:
      return wire::Signal::kHup;
    case SIGINT:
      return wire::Signal::kInt;
    case SIGQUIT:
      return wire::Signal::kQuit;
    default:
      return wire::Signal::kTerm;
  }
}

// Passes signals on until `stop`, and waits for none to arrive: the third must be heard though the
// server does not answer, and nobody reads our output. The one with which the program was given up
// stays in `gave_up`.
void PassSignals(GuestProcess& process, SignalSource& signals, int stop, StdoutWriter& writer,
                 std::atomic<int>& gave_up) {
  SignalSender sender(process);
  int interrupts = 0;
  while (WaitUnlessStopped(signals.fd(), stop)) {
    const auto signal = signals.Next();
    if (!signal) continue;
    if (*signal == SIGINT || *signal == SIGTERM) ++interrupts;
    if (interrupts >= kGiveUpAt) {
      gave_up = *signal;
      process.Abandon();
      pollfd stopped{stop, POLLIN, 0};
      do {
        writer.BreakOff();
      } while (::poll(&stopped, 1, kBreakOffAgain) == 0);
      return;
    }
    sender.Send(interrupts >= kKillAt ? wire::Signal::kKill : SignalOf(*signal));
  }
}

// Copies what comes from the program until its end; the exit code.
Result<int> CopyOutput(GuestProcess& process, StdoutWriter& writer) {
  for (;;) {
    ASSIGN_OR_RETURN(const ProcessOutput output, process.Next());
    if (output.kind == ProcessOutput::Kind::kExit) {
      if (output.status == "timed out") PrintNote("the program's time was over");
      return output.exit_code;
    }
    const int fd = output.kind == ProcessOutput::Kind::kStderr ? STDERR_FILENO : STDOUT_FILENO;
    const Status written = writer.Write(fd, output.data);
    if (written) continue;
    if (written.error().code == Code::kCanceled) return Fail(written.error());
    const Status killed = process.Signal(wire::Signal::kKill);
    if (written.error().code != Code::kUnavailable) {
      return Fail(written.error().WithContext("cannot write the program's output"));
    }
    return kSignalBase + SIGPIPE;
  }
}

}  // namespace

Result<int> RunForeground(GuestProcess& process, SignalSource& signals, bool forward_stdin) {
  ASSIGN_OR_RETURN(const UniqueFd stop, MakeEventFd());
  std::atomic<int> gave_up = 0;
  StdoutWriter writer;
  std::thread signal_thread([&] { PassSignals(process, signals, stop.get(), writer, gave_up); });
  std::thread input_thread;
  if (forward_stdin) input_thread = std::thread([&] { CopyStdin(process, stop.get()); });
  Result<int> code = CopyOutput(process, writer);
  SignalEventFd(stop.get());
  process.Abandon();  // the input may be waiting for a program that takes nothing
  signal_thread.join();
  if (input_thread.joinable()) input_thread.join();
  if (gave_up != 0) return kSignalBase + gave_up;
  return code;
}

}  // namespace wrenn::cli
