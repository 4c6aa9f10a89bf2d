// POST /v1/sandboxes/{id}/exec: a command with its whole output in the answer.
#include <thread>

#include "api/guest_channel.h"
#include "api/handlers.h"
#include "api/json_answer.h"
#include "api/process_request.h"
#include "base/encoding.h"

namespace wrenn::api {
namespace {

using std::chrono::milliseconds;

constexpr int64_t kDefaultTimeoutSec = 30;
// Per stream; what a command writes beyond is read and dropped, and the answer says so.
constexpr size_t kMaxOutput = 16 << 20;
// Fits into a pipe that nobody reads yet, so that a background command's start never waits.
constexpr size_t kMaxBackgroundInput = 64 << 10;
// What the guest may take beyond the command's own limit before it is given up.
constexpr milliseconds kGrace{30'000};

struct ExecRequest {
  ProcessRequest process;
  std::optional<std::string> input;
  bool background = false;
};

Result<ExecRequest> DecodeExec(const json::object& object) {
  JsonReader reader(object);
  ExecRequest request;
  request.background = reader.Bool("background");
  request.process = ReadProcess(reader, request.background ? 0 : kDefaultTimeoutSec);
  request.input = reader.OptionalString("stdin");
  const std::string encoding = reader.String("stdin_encoding", "utf-8");
  RETURN_IF_ERROR(reader.FinishStrict());
  if (encoding == "base64" && request.input) {
    ASSIGN_OR_RETURN(request.input, Base64Decode(*request.input));
  } else if (encoding != "utf-8" && encoding != "base64") {
    return Fail(Code::kInvalidArgument, "stdin_encoding must be utf-8 or base64");
  }
  if (request.background && request.input && request.input->size() > kMaxBackgroundInput) {
    return Fail(Code::kInvalidArgument, "stdin of a background command may have at most {} bytes",
                kMaxBackgroundInput);
  }
  request.process.start.stdin_open = request.input.has_value();
  return request;
}

// Gives a process its input on a thread of its own, since a process may first want its output read.
class InputFeeder {
 public:
  InputFeeder(sandbox::Lease& lease, uint32_t pid, std::string input)
      : channel_(std::make_shared<CuttableChannel>(lease.agent().channel())),
        client_(channel_, lease.record().agent_token),
        thread_([this, pid, text = std::move(input)] { Feed(pid, text); }) {}
  ~InputFeeder() {
    channel_->Cut();
    thread_.join();
  }

 private:
  // A process that ends without reading its input is no failure.
  void Feed(const wire::ProcessSelector& process, const std::string& input) {
    if (!input.empty() && !client_.SendInput(process, {false, input}, Deadline::Never())) return;
    [[maybe_unused]] auto closed =
        client_.CloseStdin(process, Deadline::After(Context::kGuestLimit));
  }

  std::shared_ptr<CuttableChannel> channel_;
  agent::Client client_;
  std::thread thread_;
};

struct Outcome {
  std::string out;
  std::string err;
  bool truncated = false;
  bool timed_out = false;
  wire::ProcessEnded end{-1, false, {}, {}};
};

void Append(const wire::ProcessOutput& output, Outcome& outcome) {
  std::string& text =
      output.stream == wire::ProcessOutput::Stream::kStderr ? outcome.err : outcome.out;
  const size_t room = kMaxOutput - text.size();
  text.append(output.data, 0, room);
  if (output.data.size() > room) outcome.truncated = true;
}

// Reads events until the process ends.
Result<Outcome> Collect(Context& context, sandbox::Lease& lease, agent::ProcessStream& stream,
                        milliseconds limit, Deadline process_limit) {
  const Deadline deadline = limit.count() ? Deadline::After(limit + kGrace) : Deadline::Never();
  Outcome outcome;
  for (;;) {
    // Here too, for while output keeps coming there is nothing to wait for.
    if (context.exchange.ClientGone()) return Fail(Code::kCanceled, "the client went away");
    if (deadline.HasPassed()) {
      return Fail(Code::kDeadlineExceeded, "the command went on after its time was over");
    }
    if (!stream.HasBuffered()) RETURN_IF_ERROR(context.WaitForGuest(stream.fd(), deadline));
    auto event = stream.Next(Deadline::After(Context::kGuestLimit));
    // The agent's word that it has killed the process; its clock may be a little ahead of ours.
    if (!event && event.error().code == Code::kDeadlineExceeded && limit.count()) {
      outcome.timed_out = true;
      return outcome;
    }
    if (!event) return Fail(context.FromGuest(event.error()));
    if (!*event) return Fail(context.FromGuest({Code::kUnavailable, "the output ended early", {}}));
    lease.Touch();
    if (const auto* output = std::get_if<wire::ProcessOutput>(&**event)) {
      Append(*output, outcome);
    } else if (auto* end = std::get_if<wire::ProcessEnded>(&**event)) {
      outcome.end = std::move(*end);
      outcome.timed_out = outcome.end.exit_code == -1 && process_limit.HasPassed();
      return outcome;
    }
  }
}

Status RespondOutcome(Context& context, const ExecRequest& request, const Outcome& outcome,
                      milliseconds took) {
  JsonAnswer answer(context.exchange, 200);
  const bool text = IsUtf8(outcome.out) && IsUtf8(outcome.err);
  const auto add = text ? &JsonAnswer::AddText : &JsonAnswer::AddBase64;
  RETURN_IF_ERROR((answer.*add)("stdout", outcome.out));
  RETURN_IF_ERROR((answer.*add)("stderr", outcome.err));
  RETURN_IF_ERROR(answer.Add({{"encoding", text ? "utf-8" : "base64"},
                              {"truncated", outcome.truncated},
                              {"exit_code", outcome.end.exit_code},
                              {"status", outcome.timed_out ? "timed out" : outcome.end.status},
                              {"timed_out", outcome.timed_out},
                              {"sandbox_id", context.sandbox_id()},
                              {"cmd", request.process.start.process.cmd},
                              {"duration_ms", took.count()}}));
  return answer.Finish();
}

Status RespondStarted(Context& context, const ExecRequest& request, uint32_t pid) {
  json::object body{{"sandbox_id", context.sandbox_id()},
                    {"cmd", request.process.start.process.cmd},
                    {"pid", pid}};
  if (request.process.start.tag) body["tag"] = *request.process.start.tag;
  return context.RespondJson(202, body);
}

}  // namespace

Status Exec(Context& context) {
  ASSIGN_OR_RETURN(const json::object body, context.ReadJson());
  ASSIGN_OR_RETURN(ExecRequest request, DecodeExec(body));
  ASSIGN_OR_RETURN(const auto lease, context.UseSandbox());
  if (request.background) lease->LeaveRunning(request.process.start);

  const auto began = std::chrono::steady_clock::now();
  const milliseconds limit = request.process.timeout;
  const Deadline process_limit = limit.count() ? Deadline::After(limit) : Deadline::Never();
  auto started = lease->agent().Start(request.process.start, request.process.as, limit,
                                      Deadline::After(Context::kGuestLimit));
  if (!started) {
    return Fail(context.FromGuest(ProcessError(started.error()), request.process.as.user));
  }
  if (request.background && !request.input) return RespondStarted(context, request, started->pid);
  if (request.background) {
    const wire::ProcessSelector process(started->pid);
    const Deadline deadline = Deadline::After(Context::kGuestLimit);
    auto sent = lease->agent().SendInput(process, {false, *request.input}, deadline);
    if (sent) sent = lease->agent().CloseStdin(process, deadline);
    // A process that has ended already wanted no input.
    if (!sent && sent.error().code != Code::kNotFound) return Fail(context.FromGuest(sent.error()));
    return RespondStarted(context, request, started->pid);
  }

  std::optional<InputFeeder> feeder;
  if (request.input) feeder.emplace(*lease, started->pid, *request.input);
  ASSIGN_OR_RETURN(const Outcome outcome,
                   Collect(context, *lease, started->stream, limit, process_limit));
  feeder.reset();
  const auto took = std::chrono::steady_clock::now() - began;
  return RespondOutcome(context, request, outcome, std::chrono::duration_cast<milliseconds>(took));
}

}  // namespace wrenn::api
