#include "api/process_session.h"

#include <poll.h>

#include <cerrno>
#include <thread>

#include "api/errors.h"

namespace wrenn::api {
namespace {

// For the answer to a close.
constexpr Deadline::Duration kCloseLimit{5'000};
// From an event's first byte to its last.
constexpr Deadline::Duration kEventLimit{60'000};

constexpr Deadline::Duration kNow{0};

// poll(2) until something is ready or the deadline has passed; how many are ready.
Result<int> Poll(std::span<pollfd> entries, Deadline deadline) {
  for (;;) {
    const int ready = ::poll(entries.data(), entries.size(), deadline.PollTimeout());
    if (ready > 0) return ready;
    if (ready < 0 && errno != EINTR) return Fail(ErrnoError("poll"));
    if (ready == 0 && deadline.HasPassed()) return 0;
  }
}

// Whether an error only says that the process has ended or takes no more input.
bool SaysEnded(const Error& error) {
  return error.code == Code::kNotFound || error.code == Code::kAborted ||
         error.code == Code::kFailedPrecondition;
}

}  // namespace

Status SendError(const Context& context, WebSocket& socket, const Error& error) {
  const ErrorAnswer answer = AnswerFor(error);
  const json::object message{{"type", "error"},
                             {"code", answer.code},
                             {"data", PrintableMessage(context.ForClient(answer.message))}};
  return socket.SendText(json::serialize(message), Deadline::Never());
}

Result<std::unique_ptr<ProcessSession>> ProcessSession::Make(Context& context, WebSocket& socket,
                                                             sandbox::Lease& lease,
                                                             agent::Client::Started started,
                                                             Deadline limit, Format& format) {
  std::unique_ptr<ProcessSession> session(
      new ProcessSession(context, socket, lease, std::move(started), limit, format));
  ASSIGN_OR_RETURN(session->client_done_, MakeEventFd());
  ASSIGN_OR_RETURN(session->process_done_, MakeEventFd());
  return session;
}

ProcessSession::ProcessSession(Context& context, WebSocket& socket, sandbox::Lease& lease,
                               agent::Client::Started started, Deadline limit, Format& format)
    : context_(context),
      socket_(socket),
      lease_(lease),
      format_(format),
      events_(std::move(started.stream)),
      process_(started.pid),
      pid_(started.pid),
      limit_(limit),
      input_channel_(std::make_shared<CuttableChannel>(lease.agent().channel())),
      input_(input_channel_, lease.record().agent_token) {}

void ProcessSession::Run(wire::ByteStream& stream) {
  std::thread output([this] { PumpOutput(); });
  TakeMessages();
  over_ = true;
  SignalEventFd(client_done_.get());
  stream.Shutdown();  // the output thread may be waiting for a client that takes nothing
  output.join();
}

void ProcessSession::PumpOutput() {
  const Ending ending = CopyEvents();
  over_ = true;
  const Deadline deadline = Deadline::After(kCloseLimit);
  Status closed;
  switch (ending) {
    case Ending::kProcessEnded:
      closed = socket_.SendClose(kCloseNormal, "", deadline);
      break;
    case Ending::kGuestLost:
      closed = socket_.SendClose(kCloseInternal, "the sandbox was lost", deadline);
      break;
    case Ending::kServerStops:
      closed = socket_.SendClose(kCloseGoingAway, "the server stops", deadline);
      break;
    case Ending::kClientGone:
      break;
  }
  input_channel_->Cut();
  SignalEventFd(process_done_.get());
}

ProcessSession::Ending ProcessSession::CopyEvents() {
  const json::object start{{"type", "start"}, {"pid", pid_}};
  if (!socket_.SendText(json::serialize(start), Deadline::Never())) return Ending::kClientGone;
  for (;;) {
    if (!events_.HasBuffered()) {
      if (const auto ending = WaitForEvent()) return *ending;
    }
    const auto event = events_.Next(Deadline::After(kEventLimit));
    if (!event && event.error().code == Code::kDeadlineExceeded) {
      return SendEnded({-1, false, {}, {}}, true) ? Ending::kProcessEnded : Ending::kClientGone;
    }
    if (!event || !*event) {
      const Error error =
          event ? Error{Code::kUnavailable, "the output ended early", {}} : event.error();
      return SendError(context_, socket_, context_.FromGuest(error)) ? Ending::kGuestLost
                                                                     : Ending::kClientGone;
    }
    lease_.Touch();
    if (!SendEvent(**event)) return Ending::kClientGone;
    if (std::holds_alternative<wire::ProcessEnded>(**event)) return Ending::kProcessEnded;
  }
}

std::optional<ProcessSession::Ending> ProcessSession::WaitForEvent() {
  pollfd entries[4] = {{events_.fd(), POLLIN, 0},
                       {client_done_.get(), POLLIN, 0},
                       {socket_.fd(), POLLRDHUP, 0},
                       {context_.services.stopping, POLLIN, 0}};
  if (!Poll(entries, Deadline::Never())) return Ending::kGuestLost;
  if (entries[1].revents || entries[2].revents) return Ending::kClientGone;
  if (entries[3].revents) return Ending::kServerStops;
  return std::nullopt;
}

Status ProcessSession::SendEvent(const wire::ProcessEvent& event) {
  if (const auto* output = std::get_if<wire::ProcessOutput>(&event)) {
    return format_.SendOutput(socket_, *output);
  }
  if (const auto* end = std::get_if<wire::ProcessEnded>(&event)) {
    return SendEnded(*end, end->exit_code == -1 && limit_.HasPassed());
  }
  if (std::holds_alternative<wire::KeepAlive>(event)) return socket_.SendPing(Deadline::Never());
  return {};
}

Status ProcessSession::SendEnded(const wire::ProcessEnded& end, bool timed_out) {
  RETURN_IF_ERROR(format_.Finish(socket_));
  const json::object message{{"type", "exit"},
                             {"exit_code", end.exit_code},
                             {"status", timed_out ? "timed out" : end.status},
                             {"timed_out", timed_out}};
  return socket_.SendText(json::serialize(message), Deadline::Never());
}

void ProcessSession::TakeMessages() {
  for (;;) {
    if (!socket_.HasBuffered() && !WaitForMessage()) return AwaitClose();
    const auto message = socket_.Receive(Deadline::After(kNow));
    if (!message && message.error().code == Code::kDeadlineExceeded) continue;
    if (!message || message->type == WebSocketMessage::Type::kClose) return;
    lease_.Touch();
    const auto handled = format_.HandleMessage(*this, *message);
    if (!handled && !SendError(context_, socket_, context_.FromGuest(handled.error()))) return;
  }
}

bool ProcessSession::WaitForMessage() {
  pollfd entries[2] = {{socket_.fd(), POLLIN, 0}, {process_done_.get(), POLLIN, 0}};
  return Poll(entries, Deadline::Never()) && !entries[1].revents;
}

void ProcessSession::AwaitClose() {
  const Deadline deadline = Deadline::After(kCloseLimit);
  for (;;) {
    const auto message = socket_.Receive(deadline);
    if (!message || message->type == WebSocketMessage::Type::kClose) return;
  }
}

Status ProcessSession::UnlessOver(Status status) const {
  if (!status && (over_ || SaysEnded(status.error()))) return {};
  return status;
}

Status ProcessSession::SendInput(const wire::ProcessInput& input) {
  if (input.data.empty()) return {};
  return UnlessOver(input_.SendInput(process_, input, Deadline::Never()));
}

Status ProcessSession::CloseStdin() {
  return UnlessOver(input_.CloseStdin(process_, Deadline::After(Context::kGuestLimit)));
}

Status ProcessSession::SendSignal(wire::Signal signal) {
  return UnlessOver(input_.SendSignal(process_, signal, Deadline::After(Context::kGuestLimit)));
}

Status ProcessSession::Resize(wire::PtySize size) {
  return UnlessOver(input_.Resize(process_, size, Deadline::After(Context::kGuestLimit)));
}

}  // namespace wrenn::api
