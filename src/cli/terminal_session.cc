#include "cli/terminal_session.h"

#include <poll.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "cli/process_flags.h"
#include "cli/signals.h"
#include "cli/terminal.h"

namespace wrenn::cli {
namespace {

// Passes keys, sizes and signals on until `stop` is readable or our terminal is gone.
void CopyKeys(GuestProcess& process, SignalSource& signals, int stop) {
  char buffer[4096];
  pollfd entries[3] = {{STDIN_FILENO, POLLIN, 0}, {signals.fd(), POLLIN, 0}, {stop, POLLIN, 0}};
  for (;;) {
    if (::poll(entries, 3, -1) < 0 && errno != EINTR) return;
    if (entries[2].revents) return;
    Status sent;
    if (entries[1].revents) {
      const auto signal = signals.Next();
      if (signal == SIGWINCH) sent = process.Resize(TerminalSize(STDIN_FILENO));
      if (signal == SIGTERM || signal == SIGHUP) sent = process.Signal(wire::Signal::kHup);
    } else if (entries[0].revents) {
      const ssize_t got = ::read(STDIN_FILENO, buffer, sizeof buffer);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) {
        // The terminal has hung up: the program shall know, as it would here.
        sent = process.Signal(wire::Signal::kHup);
        return;
      }
      sent = process.Write({buffer, static_cast<size_t>(got)});
    }
    if (!sent) return;
  }
}

Result<int> CopyScreen(GuestProcess& process) {
  for (;;) {
    ASSIGN_OR_RETURN(const ProcessOutput output, process.Next());
    if (output.kind == ProcessOutput::Kind::kExit) return output.exit_code;
    RETURN_IF_ERROR(WriteAll(STDOUT_FILENO, output.data, Deadline::Never()));
  }
}

}  // namespace

Result<GuestProcess> StartOnTerminal(const Api& api, const std::string& sandbox,
                                     ProcessOptions options) {
  if (!IsTerminal(STDIN_FILENO)) {
    return Fail(Code::kFailedPrecondition,
                "stdin is no terminal: use 'wrenn exec' without -t for input from elsewhere");
  }
  options.terminal = TerminalSize(STDIN_FILENO);
  if (const char* term = std::getenv("TERM"); term && !options.envs.contains("TERM")) {
    options.envs["TERM"] = term;
  }
  return GuestProcess::Start(api, sandbox, options);
}

Result<int> AttachTerminal(GuestProcess& process) {
  ASSIGN_OR_RETURN(SignalSource signals,
                   SignalSource::Take({SIGWINCH, SIGTERM, SIGHUP, SIGINT, SIGQUIT}));
  ASSIGN_OR_RETURN(const UniqueFd stop, MakeEventFd());
  ASSIGN_OR_RETURN(const RawMode raw, RawMode::Enter(STDIN_FILENO));
  std::thread keys([&] { CopyKeys(process, signals, stop.get()); });
  Result<int> code = CopyScreen(process);
  SignalEventFd(stop.get());
  process.Abandon();
  keys.join();
  return code;
}

Result<int> RunTerminal(const Api& api, const std::string& sandbox, ProcessOptions options) {
  auto process = StartOnTerminal(api, sandbox, std::move(options));
  return process ? AttachTerminal(*process) : StartFailure(process.error());
}

}  // namespace wrenn::cli
