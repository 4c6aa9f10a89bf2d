#include "agent/client.h"

#include <poll.h>

#include <algorithm>

#include "agent/protocol.h"
#include "base/encoding.h"

namespace wrenn::agent {
namespace {

// Connections kept per lane; more are made when needed and closed after use.
constexpr size_t kMaxIdle = 8;

// Whether a kept connection has been closed by the agent, or has something to read that nobody
// asked for.
bool IsStale(wire::HttpClient& http) {
  pollfd entry{http.stream().fd(), POLLIN | POLLRDHUP, 0};
  return ::poll(&entry, 1, 0) != 0;
}

json::object PathRequest(const std::string& path) { return {{"path", path}}; }

json::object SelectorRequest(const wire::ProcessSelector& process) {
  json::object request;
  request["process"] = wire::ToJson(process);
  return request;
}

}  // namespace

Client::Client(std::shared_ptr<Channel> channel, std::string token)
    : channel_(std::move(channel)), token_(std::move(token)) {}

// --- Connections ---

Result<Client::Connection> Client::TakeNew(Lane lane, Deadline deadline) {
  ASSIGN_OR_RETURN(UniqueFd fd, channel_->Connect(wire::kAgentPort, lane, deadline));
  return Connection{std::make_unique<wire::HttpClient>(std::move(fd)), false};
}

Result<Client::Connection> Client::Take(Lane lane, Deadline deadline) {
  auto& idle = idle_[static_cast<size_t>(lane)];
  std::unique_lock lock(mutex_);
  while (!idle.empty()) {
    auto http = std::move(idle.back());
    idle.pop_back();
    if (!IsStale(*http)) return Connection{std::move(http), true};
  }
  lock.unlock();
  return TakeNew(lane, deadline);
}

void Client::Return(Lane lane, std::unique_ptr<wire::HttpClient> http) {
  if (!http->Reusable()) return;
  auto& idle = idle_[static_cast<size_t>(lane)];
  std::lock_guard lock(mutex_);
  if (idle.size() < kMaxIdle) idle.push_back(std::move(http));
}

Status Client::Connect(Deadline deadline) {
  ASSIGN_OR_RETURN(Connection connection, Take(Lane::kInteractive, deadline));
  std::lock_guard lock(mutex_);
  idle_[static_cast<size_t>(Lane::kInteractive)].push_back(std::move(connection.http));
  return {};
}

void Client::CloseIdle() {
  std::lock_guard lock(mutex_);
  for (auto& idle : idle_) idle.clear();
}

// --- Requests ---

wire::RequestHead Client::MakeHead(Method method, std::string target, const As& as) {
  wire::RequestHead head;
  head.method = method == Method::kGet ? "GET" : "POST";
  head.target = std::move(target);
  head.fields.Add("Host", "localhost");
  if (!as.user.empty()) {
    head.fields.Add("Authorization", "Basic " + Base64Encode(as.user + ":"));
  }
  std::lock_guard lock(mutex_);
  if (!token_.empty()) head.fields.Add("X-Access-Token", token_);
  return head;
}

wire::RequestHead Client::CallHead(std::string_view method, const As& as, Deadline deadline) {
  wire::RequestHead head = MakeHead(Method::kPost, "/" + std::string(method), as);
  head.fields.Add("Content-Type", std::string(wire::kConnectUnaryType));
  head.fields.Add("Connect-Protocol-Version", "1");
  // Zero would mean no limit.
  if (!deadline.IsNever()) {
    head.fields.Add("Connect-Timeout-Ms", std::to_string(std::max(deadline.PollTimeout(), 1)));
  }
  return head;
}

Result<std::string> Client::Exchange(const wire::RequestHead& head, std::string_view body,
                                     Repeat repeat, Deadline deadline) {
  ASSIGN_OR_RETURN(auto reply, ExchangeUpTo(kMaxReplyBytes, head, body, repeat, deadline));
  if (!reply) return Fail(MakesNoSense("an answer too long"));
  return std::move(*reply);
}

Result<std::optional<std::string>> Client::ExchangeUpTo(size_t limit, const wire::RequestHead& head,
                                                        std::string_view body, Repeat repeat,
                                                        Deadline deadline) {
  ASSIGN_OR_RETURN(Connection connection, Take(Lane::kInteractive, deadline));
  Status sent = connection.http->Send(head, body, deadline);
  if (!sent && sent.error().code == Code::kUnavailable && connection.kept &&
      repeat == Repeat::kHarmless) {
    // The agent may close a kept connection at any moment, also between our look and our request.
    ASSIGN_OR_RETURN(connection, TakeNew(Lane::kInteractive, deadline));
    sent = connection.http->Send(head, body, deadline);
  }
  if (!sent) return Fail(AsGuestFault(std::move(sent.error())));
  const int status = connection.http->response().status;
  if (status < 200 || status > 299) {
    Error error = ReadFailure(*connection.http, deadline);
    Return(Lane::kInteractive, std::move(connection.http));
    return Fail(std::move(error));
  }
  auto reply = connection.http->body().ReadAll(limit, deadline);
  if (!reply && reply.error().code == Code::kOutOfRange) return std::optional<std::string>();
  if (!reply) return Fail(AsGuestFault(std::move(reply.error())));
  Return(Lane::kInteractive, std::move(connection.http));
  return std::optional(std::move(*reply));
}

Result<json::object> Client::Call(std::string_view method, const json::object& request,
                                  const As& as, Repeat repeat, Deadline deadline) {
  ASSIGN_OR_RETURN(const std::string reply, Exchange(CallHead(method, as, deadline),
                                                     json::serialize(request), repeat, deadline));
  auto object = ParseJsonObject(reply);
  if (!object) return Fail(AsGuestFault(std::move(object.error())));
  return object;
}

Status Client::CallForList(std::string_view method, const json::object& request, const As& as,
                           std::string_view name, std::string_view too_many,
                           const TakeElement& take, Deadline deadline) {
  ASSIGN_OR_RETURN(const auto text,
                   ExchangeUpTo(kMaxListBytes, CallHead(method, as, deadline),
                                json::serialize(request), Repeat::kHarmless, deadline));
  if (!text) return Fail(Code::kResourceExhausted, "{}", too_many);
  const auto reply = ParseJsonObject(*text);
  if (!reply) return Fail(AsGuestFault(reply.error()));
  const json::value* list = reply->if_contains(name);
  if (!list || !list->is_array()) return {};  // proto3 JSON leaves empty lists out
  if (list->get_array().size() > kMaxListElements) {
    return Fail(Code::kResourceExhausted, "{}", too_many);
  }
  for (const json::value& item : list->get_array()) {
    if (!item.is_object()) return Fail(MakesNoSense("a list of other things"));
    if (auto taken = take(item.get_object()); !taken) {
      return Fail(AsGuestFault(std::move(taken.error())));
    }
  }
  return {};
}

// --- The agent itself ---

Result<wire::InitReply> Client::Init(const wire::InitRequest& request, Deadline deadline) {
  wire::RequestHead head = MakeHead(Method::kPost, "/init", {});
  head.fields.Add("Content-Type", std::string(wire::kConnectUnaryType));
  ASSIGN_OR_RETURN(const std::string text, Exchange(head, json::serialize(wire::ToJson(request)),
                                                    Repeat::kHarmless, deadline));
  if (request.access_token) {
    std::lock_guard lock(mutex_);
    token_ = *request.access_token;
  }
  auto object = ParseJsonObject(text);
  if (!object) return Fail(AsGuestFault(std::move(object.error())));
  auto reply = wire::DecodeInitReply(*object);
  if (!reply) return Fail(AsGuestFault(std::move(reply.error())));
  return reply;
}

Status Client::Shutdown(Deadline deadline) {
  const wire::RequestHead head = MakeHead(Method::kPost, "/shutdown", {});
  auto reply = Exchange(head, {}, Repeat::kHarmless, deadline);
  if (!reply) return Fail(std::move(reply.error()));
  return {};
}

Status Client::Sync(Deadline deadline) {
  auto reply = Exchange(MakeHead(Method::kPost, "/sync", {}), {}, Repeat::kHarmless, deadline);
  if (!reply) return Fail(std::move(reply.error()));
  return {};
}

Status Client::Health(Deadline deadline) {
  auto reply = Exchange(MakeHead(Method::kGet, "/health", {}), {}, Repeat::kHarmless, deadline);
  if (!reply) return Fail(std::move(reply.error()));
  return {};
}

Result<wire::GuestMetrics> Client::Metrics(Deadline deadline) {
  ASSIGN_OR_RETURN(const std::string text, Exchange(MakeHead(Method::kGet, "/metrics", {}), {},
                                                    Repeat::kHarmless, deadline));
  auto object = ParseJsonObject(text);
  if (!object) return Fail(AsGuestFault(std::move(object.error())));
  auto metrics = wire::DecodeGuestMetrics(*object);
  if (!metrics) return Fail(AsGuestFault(std::move(metrics.error())));
  return metrics;
}

// --- Processes, but their streams ---

Result<std::vector<wire::ProcessInfo>> Client::List(Deadline deadline) {
  std::vector<wire::ProcessInfo> processes;
  const auto take = [&](const json::object& element) -> Status {
    ASSIGN_OR_RETURN(wire::ProcessInfo info, wire::DecodeProcessInfo(element));
    processes.push_back(std::move(info));
    return {};
  };
  RETURN_IF_ERROR(CallForList("process.Process/List", {}, {}, "processes",
                              "the sandbox runs too many processes to list them", take, deadline));
  return processes;
}

Status Client::SendInput(const wire::ProcessSelector& process, const wire::ProcessInput& input,
                         Deadline deadline) {
  json::object request = SelectorRequest(process);
  request["input"] = wire::ToJson(input);
  auto reply = Call("process.Process/SendInput", request, {}, Repeat::kNever, deadline);
  if (!reply) return Fail(std::move(reply.error()));
  return {};
}

Status Client::CloseStdin(const wire::ProcessSelector& process, Deadline deadline) {
  auto reply =
      Call("process.Process/CloseStdin", SelectorRequest(process), {}, Repeat::kHarmless, deadline);
  if (!reply) return Fail(std::move(reply.error()));
  return {};
}

Status Client::SendSignal(const wire::ProcessSelector& process, wire::Signal signal,
                          Deadline deadline) {
  json::object request = SelectorRequest(process);
  request["signal"] = wire::SignalName(signal);
  auto reply = Call("process.Process/SendSignal", request, {}, Repeat::kNever, deadline);
  if (!reply) return Fail(std::move(reply.error()));
  return {};
}

Status Client::Resize(const wire::ProcessSelector& process, wire::PtySize size, Deadline deadline) {
  json::object request = SelectorRequest(process);
  request["pty"] = wire::ToJson(size);
  auto reply = Call("process.Process/Update", request, {}, Repeat::kHarmless, deadline);
  if (!reply) return Fail(std::move(reply.error()));
  return {};
}

// --- Files, but their content ---

Result<wire::EntryInfo> Client::CallForEntry(std::string_view method, const json::object& request,
                                             const As& as, Repeat repeat, Deadline deadline) {
  ASSIGN_OR_RETURN(const json::object reply, Call(method, request, as, repeat, deadline));
  JsonReader reader(reply);
  const json::object* object = reader.Object("entry");
  if (!object) return Fail(MakesNoSense("no entry"));
  auto entry = wire::DecodeEntryInfo(*object);
  if (!entry) return Fail(AsGuestFault(std::move(entry.error())));
  return entry;
}

Result<wire::EntryInfo> Client::Stat(const std::string& path, const As& as, Deadline deadline) {
  return CallForEntry("filesystem.Filesystem/Stat", PathRequest(path), as, Repeat::kHarmless,
                      deadline);
}

Result<std::vector<wire::EntryInfo>> Client::ListDir(const std::string& path, uint32_t depth,
                                                     const As& as, Deadline deadline) {
  json::object request = PathRequest(path);
  request["depth"] = depth;
  std::vector<wire::EntryInfo> entries;
  const auto take = [&](const json::object& element) -> Status {
    ASSIGN_OR_RETURN(wire::EntryInfo entry, wire::DecodeEntryInfo(element));
    if (entry.name.empty()) return Fail(Code::kInvalidArgument, "an entry without a name");
    entries.push_back(std::move(entry));
    return {};
  };
  RETURN_IF_ERROR(CallForList("filesystem.Filesystem/ListDir", request, as, "entries",
                              "the folder has too many entries: list fewer levels", take,
                              deadline));
  return entries;
}

Result<wire::EntryInfo> Client::MakeDir(const std::string& path, const As& as, Deadline deadline) {
  return CallForEntry("filesystem.Filesystem/MakeDir", PathRequest(path), as, Repeat::kNever,
                      deadline);
}

Result<wire::EntryInfo> Client::Move(const std::string& from, const std::string& to, const As& as,
                                     Deadline deadline) {
  const json::object request = {{"source", from}, {"destination", to}};
  return CallForEntry("filesystem.Filesystem/Move", request, as, Repeat::kNever, deadline);
}

Status Client::Remove(const std::string& path, const As& as, Deadline deadline) {
  auto reply =
      Call("filesystem.Filesystem/Remove", PathRequest(path), as, Repeat::kHarmless, deadline);
  if (!reply) return Fail(std::move(reply.error()));
  return {};
}

}  // namespace wrenn::agent
