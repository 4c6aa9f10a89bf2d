#include "guest/agent/agent.h"

#include <fcntl.h>
#include <unistd.h>

#include "guest/init/identity.h"

namespace wrenn::guest {
namespace {

constexpr std::string_view kJson = "application/json";
constexpr size_t kMaxInitBytes = 1 << 20;

// Clients of the agent are the host's own, and streams may rest for long: a terminal where nobody
// types, a reader that thinks. A channel that dies ends its streams itself.
wire::HttpServer::Options ServerOptions() {
  wire::HttpServer::Options options;
  options.idle_limit = std::chrono::hours(1);
  options.write_limit = std::chrono::hours(24);
  return options;
}

// The service and the method of "/process.Process/Start".
bool IsCall(std::string_view path, std::string_view service, std::string_view& method) {
  if (!path.starts_with(service) || path.size() == service.size()) return false;
  method = path.substr(service.size());
  return true;
}

void RespondJson(wire::Exchange& exchange, const json::object& object) {
  [[maybe_unused]] auto sent = exchange.Respond(200, kJson, json::serialize(object));
}

void Respond(wire::Exchange& exchange, const Status& done) {
  if (!done) return RespondPlainError(exchange, done.error());
  [[maybe_unused]] auto sent = exchange.RespondEmpty(204);
}

// What is written to the root file system is on the disk when this returns.
Status SyncRoot() {
  const UniqueFd root(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root || ::syncfs(root.get()) < 0) return Fail(ErrnoError("cannot sync the disk"));
  return {};
}

void AllowAnyOrigin(wire::Exchange& exchange) {
  exchange.AddField("Access-Control-Allow-Origin", "*");
  if (exchange.request().method != "OPTIONS") return;
  exchange.AddField("Access-Control-Allow-Methods", "GET, POST, OPTIONS");
  exchange.AddField("Access-Control-Allow-Headers", "*");
  exchange.AddField("Access-Control-Max-Age", "7200");
}

}  // namespace

Agent::Agent(Options options)
    : options_(std::move(options)),
      settings_(options_.token),
      content_(settings_),
      processes_(settings_),
      filesystem_(settings_),
      server_([this](wire::Exchange& exchange) { Handle(exchange); }, ServerOptions()) {}

void Agent::Stop() {
  // Streams first: they would wait for processes that nobody reads any more.
  server_.Stop();
  processes_.Stop();
  filesystem_.Stop();
}

bool Agent::IsAuthorized(const wire::RequestHead& head, std::string_view path) {
  if (head.method == "OPTIONS" || (head.method == "GET" && path == "/health")) return true;
  if (head.method == "POST" && path == "/init") return true;  // checks for itself
  return settings_.IsToken(head.fields.Get("x-access-token"));
}

void Agent::Handle(wire::Exchange& exchange) {
  const wire::RequestHead& head = exchange.request();
  const std::string_view path = head.path();
  AllowAnyOrigin(exchange);
  if (!IsAuthorized(head, path)) {
    return RespondPlainError(
        exchange, {Code::kUnauthenticated,
                   "unauthorized access, please provide a valid access token or method signing if "
                   "supported",
                   {}});
  }
  // A repeated /shutdown has been heard.
  if (ending_ && path != "/health" && path != "/shutdown") {
    return RespondPlainError(exchange, {Code::kUnavailable, "the sandbox is shutting down", {}});
  }
  Route(exchange, head.method, path);
}

void Agent::Route(wire::Exchange& exchange, std::string_view method, std::string_view path) {
  const bool get = method == "GET";
  const bool post = method == "POST";
  std::string_view call;
  if (method == "OPTIONS" || (get && path == "/health")) {
    [[maybe_unused]] auto sent = exchange.RespondEmpty(204);
  } else if (get && path == "/metrics") {
    RespondJson(exchange, wire::ToJson(metrics_.Read()));
  } else if (get && path == "/envs") {
    json::object envs;
    for (const auto& [name, value] : settings_.environment()) envs[name] = value;
    RespondJson(exchange, envs);
  } else if (get && path == "/files") {
    content_.Get(exchange);
  } else if (post && path == "/files") {
    content_.Post(exchange);
  } else if (post && path == "/init") {
    Init(exchange);
  } else if (post && path == "/sync") {
    Respond(exchange, SyncRoot());
  } else if (post && path == "/shutdown") {
    ShutDown(exchange);
  } else if (post && IsCall(path, "/process.Process/", call) && processes_.Handle(exchange, call)) {
    return;
  } else if (post && IsCall(path, "/filesystem.Filesystem/", call) &&
             filesystem_.Handle(exchange, call)) {
    return;
  } else {
    RespondPlainError(exchange, {Code::kNotFound, "there is no such service", {}});
  }
}

void Agent::Init(wire::Exchange& exchange) {
  auto reply = DoInit(exchange);
  if (!reply) return RespondPlainError(exchange, reply.error());
  RespondJson(exchange, wire::ToJson(*reply));
}

Result<wire::InitReply> Agent::DoInit(wire::Exchange& exchange) {
  ASSIGN_OR_RETURN(const std::string body,
                   exchange.body().ReadAll(kMaxInitBytes, Deadline::After(kBodyPause)));
  ASSIGN_OR_RETURN(const json::object object, ParseJsonObject(body));
  ASSIGN_OR_RETURN(const wire::InitRequest request, wire::DecodeInitRequest(object));
  const std::string_view token = exchange.request().fields.Get("x-access-token");
  const bool repeated = request.access_token && settings_.IsToken(*request.access_token);
  if (!settings_.IsToken(token) && !repeated) {
    return Fail(Code::kUnauthenticated, "unauthorized access, please provide a valid access token");
  }
  if (request.access_token && request.access_token->empty()) {
    return Fail(Code::kInvalidArgument, "accessToken must not be empty");
  }
  if (options_.owns_machine) {
    if (request.timestamp) RETURN_IF_ERROR(SetClock(*request.timestamp));
    if (request.entropy) RETURN_IF_ERROR(AddEntropy(*request.entropy));
    if (request.hostname) RETURN_IF_ERROR(SetHostname(*request.hostname));
    if (request.machine_id) RETURN_IF_ERROR(SetMachineId(*request.machine_id));
  }
  settings_.Apply(request);  // last: a request that failed has not taken the token
  wire::InitReply reply;
  reply.protocol = wire::kAgentProtocol;
  reply.version = WRENN_VERSION;
  reply.features = {"process", "pty", "signals", "files", "gzip", "watch", "metrics", "sync"};
  if (options_.owns_machine) reply.features.emplace_back("shutdown");
  return reply;
}

void Agent::ShutDown(wire::Exchange& exchange) {
  if (!options_.owns_machine || !options_.shut_down) {
    return RespondPlainError(
        exchange, {Code::kFailedPrecondition, "this agent does not run as the guest's init", {}});
  }
  ending_ = true;
  [[maybe_unused]] auto sent = exchange.RespondEmpty(204);
  options_.shut_down();
}

}  // namespace wrenn::guest
