#include "cli/owned_sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "cli/sandbox_view.h"

namespace wrenn::cli {
namespace {

constexpr std::chrono::seconds kCreateLimit{300};
constexpr std::chrono::seconds kRemoveLimit{60};
constexpr size_t kMaxAnswer = 1 << 20;

Status RemoveById(const Api& api, const std::string& id) {
  const auto removed = api.Call("DELETE", SandboxTarget(id), nullptr, kRemoveLimit);
  if (!removed && removed.error().code != Code::kNotFound) return Fail(removed.error());
  return {};
}

// The answer to the request, which has been sent.
Result<std::string> ReadId(const Api& api, wire::HttpClient& http) {
  const Deadline deadline = Deadline::After(kCreateLimit);
  RETURN_IF_ERROR(http.ReadHead(deadline));
  if (auto error = api.ErrorOf(http, deadline)) return Fail(std::move(*error));
  ASSIGN_OR_RETURN(const std::string body, http.body().ReadAll(kMaxAnswer, deadline));
  ASSIGN_OR_RETURN(const json::value answer, ParseJson(body));
  ASSIGN_OR_RETURN(SandboxView sandbox, DecodeSandbox(answer));
  return std::move(sandbox.id);
}

// Leaves a child behind that removes what the server makes. This process has one thread still, so
// the child may do everything.
void RemoveInBackground(const Api& api, wire::HttpClient& http) {
  if (::fork() != 0) return;
  ::setsid();
  const int null = ::open("/dev/null", O_RDWR);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, fd);
  if (const auto id = ReadId(api, http)) {
    [[maybe_unused]] const Status removed = RemoveById(api, *id);
  }
  ::_exit(0);
}

}  // namespace

Result<OwnedSandbox> OwnedSandbox::Create(const Api& api, const json::object& request,
                                          SignalSource& signals, int& interrupted) {
  ASSIGN_OR_RETURN(const auto http, api.Connect());
  const std::string body = json::serialize(request);
  const Deadline sending = Deadline::After(Api::kDefaultLimit);
  wire::RequestHead head = api.MakeHead("POST", "/v1/sandboxes");
  head.fields.Add("Content-Type", "application/json");
  ASSIGN_OR_RETURN(wire::BodyWriter writer,
                   http->StartRequest(std::move(head), body.size(), sending));
  RETURN_IF_ERROR(writer.Write(body, sending));
  RETURN_IF_ERROR(writer.Finish(sending));

  pollfd entries[2] = {{http->stream().fd(), POLLIN, 0}, {signals.fd(), POLLIN, 0}};
  while (::poll(entries, 2, -1) < 0 && errno == EINTR) {
  }
  if (entries[1].revents) {
    interrupted = signals.Next().value_or(SIGINT);
    RemoveInBackground(api, *http);
    return Fail(Code::kCanceled, "interrupted");
  }
  ASSIGN_OR_RETURN(std::string id, ReadId(api, *http));
  return OwnedSandbox(api, std::move(id));
}

OwnedSandbox::~OwnedSandbox() {
  if (id_.empty()) return;
  [[maybe_unused]] const Status removed = Remove();
}

Status OwnedSandbox::Destroy() const { return RemoveById(api_, id_); }

Status OwnedSandbox::Remove() {
  const std::string id = std::exchange(id_, {});
  return id.empty() ? Status() : RemoveById(api_, id);
}

}  // namespace wrenn::cli
