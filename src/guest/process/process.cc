#include "guest/process/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/revert.h"
#include "guest/process/kill.h"
#include "guest/process/utf8_tail.h"
#include "wire/connect.h"

namespace wrenn::guest {
namespace {

using Stream = wire::ProcessOutput::Stream;

constexpr size_t kPipeChunk = 32 << 10;
constexpr size_t kTerminalChunk = 16 << 10;
constexpr size_t kMaxChunk = std::max(kPipeChunk, kTerminalChunk);
// How long what a program left behind may keep the output of the exited program open.
constexpr Deadline::Duration kLinger{1000};
// A program that writes in small pieces would have each of them sent on its own, since the agent
// wakes up first. So after a read that did not find a whole chunk the next one is this much later.
constexpr Deadline::Duration kPace{2};
// How long after a process's end its cgroup is removed.
constexpr int kTidyAfterMs = 5;
// How long the begin of a character waits for its rest.
constexpr Deadline::Duration kHold{20};

size_t ChunkOf(Stream stream) { return stream == Stream::kPty ? kTerminalChunk : kPipeChunk; }

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Result<Pipe> MakePipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) < 0) return Fail(ErrnoError("cannot make a pipe"));
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

std::string SignalText(int signal) {
  const char* name = ::sigdescr_np(signal);
  std::string text = name ? name : fmt::format("signal {}", signal);
  std::ranges::transform(text, text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

wire::ProcessEnded Describe(const ChildExit& exit) {
  wire::ProcessEnded ended;
  ended.exit_code = exit.signaled ? -1 : exit.value;
  ended.status = exit.signaled ? "signal: " + SignalText(exit.value)
                               : fmt::format("exit status {}", exit.value);
  if (ended.exit_code != 0) ended.error = ended.status;
  return ended;
}

Subscription::Message Envelope(std::string_view message) {
  return std::make_shared<const std::string>(wire::FormatEnvelope(0, message));
}

Subscription::Message FinalEnvelopes(const std::optional<ChildExit>& exit, bool timed_out) {
  if (timed_out) {
    return std::make_shared<const std::string>(wire::FormatEndOfStream(
        Error{Code::kDeadlineExceeded, "the process was killed at its time limit", {}}));
  }
  json::object event;
  event["event"] =
      wire::ToJson(wire::ProcessEvent(Describe(exit.value_or(ChildExit{true, SIGKILL}))));
  return std::make_shared<const std::string>(wire::FormatEnvelope(0, json::serialize(event)) +
                                             wire::FormatEndOfStream(std::nullopt));
}

}  // namespace

Result<std::shared_ptr<Process>> Process::Start(Options options,
                                                std::shared_ptr<Subscription> first) {
  auto process = std::make_shared<Process>(std::move(options));
  if (first) process->subscriptions_.push_back(std::move(first));
  RETURN_IF_ERROR(process->StartProgram());
  return process;
}

Status Process::OpenTerminal(SpawnRequest& spawn, std::list<UniqueFd>& theirs) {
  // Not posix_openpt(3) and grantpt(3): the latter looks up a group.
  UniqueFd master(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!master) return Fail(ErrnoError("cannot open a terminal"));
  int locked = 0;
  ::ioctl(master.get(), TIOCSPTLCK, &locked);
  UniqueFd slave(::ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!slave) return Fail(ErrnoError("cannot open a terminal"));
  if (options_.switch_user &&
      ::fchown(slave.get(), options_.user.uid, static_cast<gid_t>(-1)) < 0) {
    return Fail(ErrnoError("cannot give the terminal to its user"));
  }
  termios settings{};
  if (::tcgetattr(slave.get(), &settings) == 0) {
    settings.c_iflag |= IUTF8;
    ::tcsetattr(slave.get(), TCSANOW, &settings);
  }
  RETURN_IF_ERROR(SetNonBlocking(master.get()));
  input_ = std::make_shared<UniqueFd>(::fcntl(master.get(), F_DUPFD_CLOEXEC, 3));
  outputs_.push_back({std::move(master), Stream::kPty, {}, 0});
  RETURN_IF_ERROR(Resize(*options_.request.pty));
  for (int& fd : spawn.stdio) fd = slave.get();
  spawn.terminal = true;
  theirs.push_back(std::move(slave));
  return {};
}

Status Process::OpenPipes(SpawnRequest& spawn, std::list<UniqueFd>& theirs) {
  if (options_.request.stdin_open) {
    ASSIGN_OR_RETURN(Pipe pipe, MakePipe());
    RETURN_IF_ERROR(SetNonBlocking(pipe.write.get()));
    input_ = std::make_shared<UniqueFd>(std::move(pipe.write));
    theirs.push_back(std::move(pipe.read));
  } else {
    theirs.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!theirs.back()) return Fail(ErrnoError("cannot open /dev/null"));
  }
  spawn.stdio[0] = theirs.back().get();
  int next = 1;
  for (const Stream stream : {Stream::kStdout, Stream::kStderr}) {
    ASSIGN_OR_RETURN(Pipe pipe, MakePipe());
    RETURN_IF_ERROR(SetNonBlocking(pipe.read.get()));
    outputs_.push_back({std::move(pipe.read), stream, {}, 0});
    spawn.stdio[next++] = pipe.write.get();
    theirs.push_back(std::move(pipe.write));
  }
  return {};
}

Status Process::StartProgram() {
  const wire::ProcessConfig& config = options_.request.process;
  ASSIGN_OR_RETURN(turn_, MakeEventFd());
  SignalEventFd(turn_.get());
  SpawnRequest spawn;
  std::list<UniqueFd> theirs;  // the program's ends, closed here when it has its copies
  RETURN_IF_ERROR(options_.request.pty ? OpenTerminal(spawn, theirs) : OpenPipes(spawn, theirs));

  const auto path = options_.environment.find("PATH");
  spawn.command = config.cmd;
  spawn.paths = CommandPaths(config.cmd, path == options_.environment.end() ? "" : path->second);
  spawn.arguments = config.args;
  spawn.environment = FormatEnvironment(options_.environment);
  spawn.cwd = options_.cwd;
  if (options_.switch_user) spawn.user = options_.user;
  spawn.guard_agent = ::getpid() == 1;

  ASSIGN_OR_RETURN(cgroup_, ProcessCgroup::Create());
  if (cgroup_) spawn.cgroup = cgroup_->folder();
  ASSIGN_OR_RETURN(child_, Spawn(spawn));
  return {};
}

void Process::Subscribe(std::shared_ptr<Subscription> subscription) {
  std::lock_guard lock(mutex_);
  if (end_) {
    subscription->End(end_);
  } else {
    subscriptions_.push_back(std::move(subscription));
  }
}

std::shared_ptr<UniqueFd> Process::input() {
  std::lock_guard lock(mutex_);
  return input_;
}

Status Process::TakeTurn(int client_fd, Deadline deadline) const {
  for (;;) {
    pollfd entries[] = {
        {turn_.get(), POLLIN, 0}, {child_->exit_event(), POLLIN, 0}, {client_fd, POLLRDHUP, 0}};
    ::poll(entries, 3, deadline.PollTimeout());
    if (entries[2].revents) return Fail(Code::kCanceled, "the client has gone");
    uint64_t free = 0;
    if (::read(turn_.get(), &free, sizeof free) == sizeof free) return {};
    if (entries[1].revents) return Fail(Code::kNotFound, "the process has ended");
    if (deadline.HasPassed()) {
      return Fail(Code::kDeadlineExceeded, "the process does not read its stdin");
    }
  }
}

Status Process::Write(const wire::ProcessInput& input_data, int client_fd, Deadline deadline) {
  const bool terminal = options_.request.pty.has_value();
  if (terminal != input_data.pty) {
    return Fail(Code::kInvalidArgument, "the process has {} terminal: send '{}' instead",
                terminal ? "a" : "no", terminal ? "pty" : "stdin");
  }
  RETURN_IF_ERROR(TakeTurn(client_fd, deadline));
  Revert turn;
  turn.Add([this] { SignalEventFd(turn_.get()); });
  const std::shared_ptr<UniqueFd> fd = input();
  if (!fd) return Fail(Code::kFailedPrecondition, "the process's stdin is not open");
  std::string_view left = input_data.data;
  while (!left.empty()) {
    const ssize_t written = ::write(fd->get(), left.data(), left.size());
    if (written >= 0) {
      left.remove_prefix(static_cast<size_t>(written));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EPIPE || errno == EIO) {
      return Fail(Code::kFailedPrecondition, "the process has closed its stdin");
    }
    if (errno != EAGAIN) return Fail(ErrnoError("cannot write to the process"));
    pollfd entries[] = {
        {fd->get(), POLLOUT, 0}, {child_->exit_event(), POLLIN, 0}, {client_fd, POLLRDHUP, 0}};
    ::poll(entries, 3, deadline.PollTimeout());
    if (entries[1].revents) return Fail(Code::kNotFound, "the process has ended");
    if (entries[2].revents) return Fail(Code::kCanceled, "the client has gone");
    if (deadline.HasPassed()) {
      return Fail(Code::kDeadlineExceeded, "the process does not read its stdin");
    }
  }
  return {};
}

Status Process::CloseStdin() {
  if (options_.request.pty) {
    return Fail(Code::kFailedPrecondition,
                "a terminal cannot be closed: send Ctrl-D (0x04) as input instead");
  }
  std::lock_guard lock(mutex_);
  input_.reset();  // a writer that still waits holds it until it is done
  return {};
}

Status Process::Resize(wire::PtySize size) {
  if (!options_.request.pty) return Fail(Code::kFailedPrecondition, "the process has no terminal");
  const std::shared_ptr<UniqueFd> fd = input();
  if (!fd) return Fail(Code::kNotFound, "the process has ended");
  winsize window{};
  window.ws_col = static_cast<unsigned short>(size.cols);
  window.ws_row = static_cast<unsigned short>(size.rows);
  if (::ioctl(fd->get(), TIOCSWINSZ, &window) < 0) {
    return Fail(ErrnoError("cannot resize the terminal"));
  }
  return {};
}

void Process::Kill() {
  std::shared_ptr<ProcessCgroup> cgroup;
  {
    std::lock_guard lock(mutex_);
    cgroup = cgroup_;
  }
  KillTree(*child_, cgroup.get());
}

Status Process::Signal(wire::Signal signal) {
  if (signal != wire::Signal::kKill) {
    return Reaper::Get().Signal(*child_, static_cast<int>(signal), true);
  }
  if (ended_at()) return Fail(Code::kNotFound, "the process has ended");
  Kill();
  return {};
}

std::optional<Deadline::Clock::time_point> Process::ended_at() {
  std::lock_guard lock(mutex_);
  return ended_at_;
}

void Process::Run(int stop) {
  ReadUntilEnd(stop);
  End();
  DiscardRest(stop);
}

void Process::ReadUntilEnd(int stop) {
  Deadline linger = Deadline::Never();
  for (;;) {
    if (exited_ && (outputs_.empty() || stopping_)) return;
    if (exited_ && linger.HasPassed() && NothingOwed()) return;
    ReadSomething(stop, linger);
  }
}

void Process::ReadSomething(int stop, Deadline& linger) {
  std::vector<pollfd> entries;
  Deadline wake = Deadline::Earlier(linger, late_ ? Deadline::Never() : options_.deadline);
  const bool pacing = !exited_ && !next_read_.HasPassed();
  if (pacing) wake = Deadline::Earlier(wake, next_read_);
  for (const Output& output : outputs_) {
    entries.push_back({pacing ? -1 : output.fd.get(), POLLIN, 0});
    if (!output.held.empty()) wake = Deadline::Earlier(wake, Deadline::After(kHold));
  }
  entries.push_back({exited_ ? -1 : child_->exit_event(), POLLIN, 0});
  entries.push_back({stopping_ ? -1 : stop, POLLIN, 0});
  ::poll(entries.data(), entries.size(), wake.PollTimeout());
  KillIfLate();

  // The exit first: what is in the pipes by then is what the program still has to say.
  if (entries[entries.size() - 2].revents) NoteExit(linger);
  if (entries.back().revents) {
    stopping_ = true;
    Kill();
  }
  if (pacing) return;
  bool full = false;
  auto entry = entries.begin();
  for (auto output = outputs_.begin(); output != outputs_.end(); ++entry) {
    std::string data;
    const bool open = !entry->revents || ReadOnce(*output, data);
    if (!entry->revents && linger.HasPassed()) output->owed = 0;
    full = full || data.size() + output->held.size() == ChunkOf(output->stream);
    if (entry->revents || !output->held.empty()) Take(*output, std::move(data));
    output = open ? std::next(output) : outputs_.erase(output);
  }
  if (!full) next_read_ = Deadline::After(kPace);
}

bool Process::ReadOnce(Output& output, std::string& data) const {
  char buffer[kMaxChunk];
  const size_t wanted = ChunkOf(output.stream) - output.held.size();
  const ssize_t got = ::read(output.fd.get(), buffer, wanted);
  const int error = errno;
  const bool full = got == static_cast<ssize_t>(wanted);
  data.assign(buffer, got > 0 ? static_cast<size_t>(got) : 0);
  output.owed = got > 0 ? output.owed - got : 0;
  data.insert(0, std::exchange(output.held, {}));
  if (full) {
    // More will follow at once: its first bytes may belong to our last character.
    const size_t tail = IncompleteUtf8Tail(data);
    output.held = data.substr(data.size() - tail);
    data.resize(data.size() - tail);
  }
  // A terminal whose other side is closed reads as EIO.
  return got > 0 || (got < 0 && (error == EAGAIN || error == EINTR));
}

void Process::Take(Output& output, std::string data) {
  // Nothing came while a piece of a character was held: then it is all there is.
  if (data.empty()) data = std::exchange(output.held, {});
  if (!data.empty()) Publish(output.stream, std::move(data));
}

void Process::NoteExit(Deadline& linger) {
  exited_ = true;
  linger = Deadline::After(kLinger);
  for (Output& output : outputs_) {
    int waiting = 0;
    if (::ioctl(output.fd.get(), FIONREAD, &waiting) == 0) output.owed = waiting;
  }
}

bool Process::NothingOwed() const {
  return std::ranges::all_of(outputs_, [](const Output& output) { return output.owed <= 0; });
}

void Process::Publish(Stream stream, std::string data) {
  std::list<std::shared_ptr<Subscription>> subscriptions;
  {
    std::lock_guard lock(mutex_);
    subscriptions_.remove_if([](auto& subscription) { return subscription->cancelled(); });
    subscriptions = subscriptions_;
  }
  if (subscriptions.empty()) return;
  const auto message = Envelope(wire::FormatOutputEvent({stream, std::move(data)}));
  for (const auto& subscription : subscriptions) {
    while (!subscription->WaitForRoom(late_ ? Deadline::Never() : options_.deadline)) KillIfLate();
    subscription->Push(message);
  }
}

void Process::KillIfLate() {
  if (late_ || !options_.deadline.HasPassed()) return;
  late_ = true;
  // One that has exited keeps its exit code, whatever it left behind and however slowly its output
  // is taken.
  timed_out_ = !Reaper::Get().ExitOf(*child_);
  Kill();
}

void Process::End() {
  std::shared_ptr<ProcessCgroup> cgroup;
  {
    std::lock_guard lock(mutex_);
    end_ = FinalEnvelopes(Reaper::Get().ExitOf(*child_), timed_out_);
    ended_at_ = Deadline::Clock::now();
    for (const auto& subscription : subscriptions_) subscription->End(end_);
    subscriptions_.clear();
    input_.reset();
    cgroup = std::move(cgroup_);
  }
  // Whoever waits for the end hears of it first.
  ::poll(nullptr, 0, kTidyAfterMs);
  cgroup.reset();
  TidyCgroups();
}

void Process::DiscardRest(int stop) {
  // A terminal hangs up; pipes are read on, or what was left behind would die of SIGPIPE.
  if (options_.request.pty) outputs_.clear();
  while (!outputs_.empty()) {
    std::vector<pollfd> entries{{stop, POLLIN, 0}};
    for (const Output& output : outputs_) entries.push_back({output.fd.get(), POLLIN, 0});
    ::poll(entries.data(), entries.size(), -1);
    if (entries[0].revents) return;
    auto entry = entries.begin() + 1;
    for (auto output = outputs_.begin(); output != outputs_.end(); ++entry) {
      std::string dropped;
      const bool open = !entry->revents || ReadOnce(*output, dropped);
      output = open ? std::next(output) : outputs_.erase(output);
    }
  }
}

}  // namespace wrenn::guest
