#include "os/command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>

#include <cerrno>

#include "base/io.h"

namespace wrenn::os {
namespace {

constexpr size_t kStderrLimit = 64 << 10;

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

// Only our end is non-blocking: programs expect to wait on theirs.
Result<Pipe> MakePipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return Fail(ErrnoError("cannot make a pipe"));
  Pipe pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
  RETURN_IF_ERROR(SetNonBlocking(pipe.read.get()));
  return pipe;
}

// Takes what is in the pipe now, at most as much as a pipe holds: a program that never stops
// writing must not keep us from the deadline. False at its end.
bool Drain(int fd, const std::function<void(std::string_view)>& take) {
  char buffer[16384];
  for (int rounds = 0; rounds < 64; ++rounds) {
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got > 0) {
      take({buffer, static_cast<size_t>(got)});
    } else if (got == 0 || errno != EINTR) {
      return got < 0 && errno == EAGAIN;
    }
  }
  return true;
}

// Collects the output of one running command.
class Collector {
 public:
  Collector(const CommandOptions& options, Process& process, Pipe& out, Pipe& err)
      : options_(options), process_(process), out_(out), err_(err) {}

  // Reads until the process has ended and what it wrote is taken. Programs that it left behind with
  // its stdout are not waited for.
  Status Run(Deadline deadline) {
    for (bool ended = false; !ended;) {
      pollfd entries[] = {{out_.read.get(), POLLIN, 0},  // a closed one is -1, which poll ignores
                          {err_.read.get(), POLLIN, 0},
                          {process_.pidfd(), POLLIN, 0}};
      const int ready = ::poll(entries, 3, deadline.PollTimeout());
      if (ready < 0 && errno != EINTR) return Fail(ErrnoError("poll"));
      if (ready <= 0 && deadline.HasPassed()) {
        return Fail(Code::kDeadlineExceeded, "'{}' took too long", options_.argv.front());
      }
      if (ready <= 0) continue;
      ended = entries[2].revents != 0;
      if (!Drain(out_.read.get(), [this](std::string_view b) { TakeStdout(b); })) out_.read.Reset();
      if (!Drain(err_.read.get(), [this](std::string_view b) { TakeStderr(b); })) err_.read.Reset();
      if (too_much_) {
        return Fail(Code::kOutOfRange, "'{}' wrote more than {} bytes", options_.argv.front(),
                    options_.output_limit);
      }
    }
    return {};
  }

  CommandResult result;

 private:
  void TakeStdout(std::string_view bytes) {
    if (options_.on_stdout) return options_.on_stdout(bytes);
    if (result.stdout_text.size() + bytes.size() > options_.output_limit) {
      too_much_ = true;
    } else {
      result.stdout_text.append(bytes);
    }
  }

  void TakeStderr(std::string_view bytes) {
    if (options_.on_stderr) options_.on_stderr(bytes);
    std::string& text = result.stderr_text;
    text.append(bytes);
    if (text.size() > kStderrLimit) text.erase(0, text.size() - kStderrLimit);
  }

  const CommandOptions& options_;
  Process& process_;
  Pipe& out_;
  Pipe& err_;
  bool too_much_ = false;
};

}  // namespace

Result<CommandResult> RunCommand(const CommandOptions& options, Deadline deadline) {
  ASSIGN_OR_RETURN(Pipe out, MakePipe());
  ASSIGN_OR_RETURN(Pipe err, MakePipe());
  SpawnOptions spawn;
  spawn.argv = options.argv;
  spawn.environment = options.environment;
  spawn.directory = options.directory;
  spawn.pass_fds = options.pass_fds;
  spawn.stdout_fd = out.write.get();
  spawn.stderr_fd = err.write.get();
  spawn.die_with_parent = true;
  ASSIGN_OR_RETURN(Process process, Process::Spawn(spawn));
  out.write.Reset();
  err.write.Reset();

  Collector collector(options, process, out, err);
  const auto collected = collector.Run(deadline);
  // Also after a normal end: what the program left running in its group must not outlive it.
  (void)process.SignalGroup(SIGKILL);
  ASSIGN_OR_RETURN(collector.result.exit, process.Wait(Deadline::Never()));
  RETURN_IF_ERROR(collected);
  return std::move(collector.result);
}

std::string LastLine(std::string_view text) {
  constexpr size_t kLimit = 300;
  while (!text.empty()) {
    const size_t newline = text.find_last_of("\r\n");
    const size_t begin = newline == std::string_view::npos ? 0 : newline + 1;
    std::string line;
    for (const char c : text.substr(begin)) {
      if (static_cast<unsigned char>(c) >= ' ' && c != '\x7f') line.push_back(c);
    }
    if (line.find_first_not_of(' ') != std::string::npos) return line.substr(0, kLimit);
    text = text.substr(0, begin == 0 ? 0 : newline);
  }
  return {};
}

Result<std::string> RunCommandOrFail(const CommandOptions& options, Deadline deadline) {
  ASSIGN_OR_RETURN(CommandResult result, RunCommand(options, deadline));
  if (result.exit.Success()) return std::move(result.stdout_text);
  const std::string& program = options.argv.front();
  const std::string last = LastLine(result.stderr_text);
  return Fail(Error{Code::kInternal,
                    fmt::format("{} failed: {}{}{}", program.substr(program.rfind('/') + 1),
                                result.exit.ToString(), last.empty() ? "" : ": ", last),
                    result.stderr_text});
}

}  // namespace wrenn::os
