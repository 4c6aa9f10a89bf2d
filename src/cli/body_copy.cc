#include "cli/body_copy.h"

#include <algorithm>
#include <span>

#include "base/io.h"
#include "cli/spinner.h"
#include "cli/table.h"
#include "cli/terminal.h"

namespace wrenn::cli {

struct TransferProgress::State {
  std::string what;
  std::optional<uint64_t> total;
  uint64_t done = 0;
  std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point shown = begin;
  ProgressLine line;
};

TransferProgress::TransferProgress(std::string what, std::optional<uint64_t> total)
    : state_(std::make_unique<State>()) {
  state_->what = std::move(what);
  state_->total = total;
}

TransferProgress::~TransferProgress() = default;

void TransferProgress::Add(uint64_t bytes) {
  State& state = *state_;
  state.done += bytes;
  const auto now = std::chrono::steady_clock::now();
  // Short transfers are over before anybody could read.
  if (!state.line.on_terminal() || now - state.shown < std::chrono::milliseconds(500)) return;
  state.shown = now;
  const std::chrono::duration<double> took = now - state.begin;
  const auto rate = static_cast<uint64_t>(static_cast<double>(state.done) / took.count());
  const std::string of = state.total ? fmt::format(" of {}", FormatBytes(*state.total)) : "";
  state.line.Show(
      fmt::format("{}: {}{}, {}/s", state.what, FormatBytes(state.done), of, FormatBytes(rate)));
}

namespace {

// The bytes of `from`, until its end or `length`. Errors of reading are returned, those of sending
// go to `sent`: then the server may have said why.
Status CopyTo(wire::BodyWriter& writer, int from, std::optional<uint64_t> length,
              const std::string& what, Status& sent) {
  TransferProgress progress(what, length);
  std::string buffer(kCopyBuffer, '\0');
  uint64_t left = length.value_or(UINT64_MAX);
  while (left > 0 && sent) {
    const size_t want = std::min<uint64_t>(buffer.size(), left);
    ASSIGN_OR_RETURN(const size_t got,
                     ReadSome(from, std::span(buffer).first(want), Deadline::Never()));
    if (got == 0 && length) {
      return Fail(Code::kAborted, "the file became shorter while it was copied");
    }
    if (got == 0) break;
    sent = writer.Write(std::string_view(buffer).substr(0, got), StepDeadline());
    left -= got;
    progress.Add(got);
  }
  if (sent) sent = writer.Finish(StepDeadline());
  return {};
}

}  // namespace

Result<std::unique_ptr<wire::HttpClient>> SendBody(const Api& api, const std::string& target,
                                                   int from, std::optional<uint64_t> length,
                                                   const std::string& what,
                                                   Deadline::Duration answer_limit) {
  ASSIGN_OR_RETURN(auto http, api.Connect());
  wire::RequestHead head = api.MakeHead("POST", target);
  head.fields.Add("Content-Type", "application/octet-stream");
  ASSIGN_OR_RETURN(wire::BodyWriter writer,
                   http->StartRequest(std::move(head), length, StepDeadline()));
  Status sent;
  RETURN_IF_ERROR(CopyTo(writer, from, length, what, sent));
  // A server that refuses answers before it has read all: the answer says more than the broken
  // pipe.
  Spinner spinner(what + ": the server is at work on it");
  const Status answered = http->ReadHead(Deadline::After(answer_limit));
  spinner.Stop();
  if (!answered) return Fail(sent ? answered.error() : sent.error());
  if (auto error = api.ErrorOf(*http, StepDeadline())) return Fail(std::move(*error));
  if (!sent) return Fail(std::move(sent.error()));
  return http;
}

Result<uint64_t> ReceiveBody(wire::HttpClient& http, const std::string& what,
                             const std::function<Status(std::string_view)>& sink) {
  const wire::BodyLength length = http.body().length();
  const bool known = length.kind == wire::BodyLength::Kind::kFixed;
  TransferProgress progress(what, known ? std::optional(length.bytes) : std::nullopt);
  std::string buffer(kCopyBuffer, '\0');
  for (uint64_t total = 0;;) {
    ASSIGN_OR_RETURN(const size_t got, http.body().Read(buffer, StepDeadline()));
    if (got == 0) return total;
    total += got;
    RETURN_IF_ERROR(sink(std::string_view(buffer).substr(0, got)));
    progress.Add(got);
  }
}

}  // namespace wrenn::cli
