#include "cli/api.h"

#include <arpa/inet.h>
#include <netdb.h>

#include <charconv>
#include <cstdlib>

#include "api/errors.h"
#include "base/encoding.h"
#include "cli/local.h"
#include "server/config.h"
#include "server/root_lock.h"
#include "wire/sockets.h"

namespace wrenn::cli {
namespace {

constexpr uint16_t kDefaultPort = 8080;
constexpr std::chrono::milliseconds kHealthLimit{10'000};
constexpr size_t kMaxAnswer = 64 << 20;
constexpr size_t kMaxErrorBody = 64 << 10;

// The addresses of a host name, as literals.
Result<std::vector<std::string>> Resolve(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &list); error != 0) {
    return Fail(Code::kUnavailable, "cannot find the host '{}': {}", host, ::gai_strerror(error));
  }
  std::vector<std::string> addresses;
  for (const addrinfo* entry = list; entry; entry = entry->ai_next) {
    char text[NI_MAXHOST];
    if (::getnameinfo(entry->ai_addr, entry->ai_addrlen, text, sizeof text, nullptr, 0,
                      NI_NUMERICHOST) == 0) {
      addresses.emplace_back(text);
    }
  }
  ::freeaddrinfo(list);
  return addresses;
}

// The server of this machine's root.
Result<Endpoint> LocalEndpoint() {
  const auto config = server::LoadConfig({});
  // The settings of somebody else's server are perhaps not for us to read.
  if (!config && config.error().code == Code::kPermissionDenied) {
    return Endpoint{server::ServerConfig().address, kDefaultPort, {}};
  }
  if (!config) return Fail(config.error());
  const auto running = server::RunningServer(config->paths);
  if (running && !running->url.empty()) {
    ASSIGN_OR_RETURN(Endpoint endpoint, ParseUrl(running->url));
    return Reachable(std::move(endpoint));
  }
  return Reachable({config->address, config->port == 0 ? kDefaultPort : config->port, {}});
}

std::string KeyOfEnvironment() {
  const char* key = std::getenv("WRENN_API_KEY");
  return key ? key : "";
}

// Whether this root's server is what listens there: its key is nobody else's business.
bool IsRootsServer(const os::Paths& paths, const Endpoint& endpoint) {
  const auto running = server::RunningServer(paths);
  if (!running || running->url.empty()) return false;
  auto own = ParseUrl(running->url);
  if (!own) return false;
  own = Reachable(std::move(*own));
  const bool same =
      own->host == endpoint.host || (own->IsLoopback() && endpoint.host == "localhost");
  return same && own->port == endpoint.port && endpoint.prefix.empty();
}

std::string KeyOfRoot(const os::Paths& paths) {
  auto key = ReadFile(paths.KeyFile(), 4096);
  if (!key) return {};
  key->erase(key->find_last_not_of(" \r\n\t") + 1);
  return std::move(*key);
}

}  // namespace

std::string Endpoint::Address() const {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                             : fmt::format("[{}]:{}", host, port);
}

bool Endpoint::IsLoopback() const {
  in_addr v4{};
  if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  return host == "localhost" || host == "::1";
}

Endpoint Reachable(Endpoint endpoint) {
  if (endpoint.host == "0.0.0.0") endpoint.host = "127.0.0.1";
  if (endpoint.host == "::") endpoint.host = "::1";
  return endpoint;
}

Result<Endpoint> ParseUrl(std::string_view url) {
  const auto bad = [&](std::string_view why) {
    return Fail(Code::kInvalidArgument,
                "'{}' is no server's URL: {} (WRENN_API_URL=http://127.0.0.1:8080)", url, why);
  };
  constexpr std::string_view kScheme = "http://";
  if (url.starts_with("https://"))
    return bad("wrenn speaks plain HTTP; put TLS in front by a proxy");
  if (!url.starts_with(kScheme)) return bad("it must begin with http://");
  std::string_view rest = url.substr(kScheme.size());
  Endpoint endpoint;
  const size_t slash = rest.find('/');
  if (slash != std::string_view::npos) {
    endpoint.prefix = rest.substr(slash);
    endpoint.prefix.erase(endpoint.prefix.find_last_not_of('/') + 1);
    rest = rest.substr(0, slash);
  }
  std::string_view port;
  if (rest.starts_with('[')) {
    const size_t end = rest.find(']');
    if (end == std::string_view::npos) return bad("a bracket is missing");
    endpoint.host = rest.substr(1, end - 1);
    rest = rest.substr(end + 1);
    if (!rest.empty() && rest[0] != ':') return bad("the port is malformed");
    port = rest.empty() ? rest : rest.substr(1);
  } else {
    endpoint.host = rest.substr(0, rest.find(':'));
    port = rest.size() == endpoint.host.size() ? "" : rest.substr(endpoint.host.size() + 1);
  }
  if (endpoint.host.empty()) return bad("the host is missing");
  if (!port.empty()) {
    const auto [end, error] =
        std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
    if (error != std::errc() || end != port.data() + port.size() || endpoint.port == 0) {
      return bad("the port is malformed");
    }
  }
  return endpoint;
}

Result<Api> Api::FromEnvironment() {
  const char* url = std::getenv("WRENN_API_URL");
  const bool named = url && *url;
  ASSIGN_OR_RETURN(Endpoint endpoint, named ? ParseUrl(url) : LocalEndpoint());
  std::string key = KeyOfEnvironment();
  if (key.empty()) {
    const auto paths = LocalPaths();
    if (paths && IsRootsServer(*paths, endpoint)) key = KeyOfRoot(*paths);
  }
  return Api(std::move(endpoint), std::move(key));
}

Result<Api> Api::OfRoot(const os::Paths& paths, std::string_view url) {
  ASSIGN_OR_RETURN(Endpoint endpoint, ParseUrl(url));
  std::string key = KeyOfRoot(paths);
  if (key.empty()) key = KeyOfEnvironment();
  return Api(Reachable(std::move(endpoint)), std::move(key));
}

Result<UniqueFd> Api::ConnectSocket() const {
  std::vector<std::string> addresses = {endpoint_.host};
  in6_addr scratch;
  if (::inet_pton(AF_INET, endpoint_.host.c_str(), &scratch) != 1 &&
      ::inet_pton(AF_INET6, endpoint_.host.c_str(), &scratch) != 1) {
    ASSIGN_OR_RETURN(addresses, Resolve(endpoint_.host));
  }
  Error last{Code::kUnavailable, "the host has no address", {}};
  for (const std::string& address : addresses) {
    auto connected = wire::ConnectTcp(address, endpoint_.port, Deadline::After(connect_limit_));
    if (connected && interrupter_) RETURN_IF_ERROR(interrupter_->Add(connected->get()));
    if (connected) return connected;
    last = std::move(connected.error());
  }
  const std::string remedy =
      endpoint_.IsLoopback() ? "start one with 'wrenn serve --detach'" : "see WRENN_API_URL";
  return Fail(Error{Code::kUnavailable,
                    fmt::format("no server at {}: {}", endpoint_.Address(), remedy),
                    last.ToString()});
}

Result<std::unique_ptr<wire::HttpClient>> Api::Connect() const {
  ASSIGN_OR_RETURN(UniqueFd socket, ConnectSocket());
  return std::make_unique<wire::HttpClient>(std::move(socket));
}

wire::RequestHead Api::MakeHead(std::string_view method, std::string_view target) const {
  wire::RequestHead head;
  head.method = method;
  head.target = endpoint_.prefix + std::string(target);
  head.fields.Add("Host", endpoint_.Address());
  head.fields.Add("User-Agent", "wrenn-cli");
  if (!key_.empty()) head.fields.Add("X-API-Key", key_);
  return head;
}

std::optional<Error> Api::ErrorOf(wire::HttpClient& http, Deadline deadline) const {
  const int status = http.response().status;
  if (status < 300) return std::nullopt;
  const auto body = http.body().ReadAll(kMaxErrorBody, deadline);
  Error error = api::ParseErrorBody(status, body ? *body : std::string());
  if (error.message.empty()) error.message = NoWrenn(fmt::format("HTTP status {}", status));
  if (status == 401 && key_.empty()) {
    error.message = "the server asks for an API key: set WRENN_API_KEY";
    if (endpoint_.IsLoopback()) error.message += ", or WRENN_ROOT to its root";
  } else if (status == 401) {
    error.message += ": see WRENN_API_KEY, and 'wrenn key create'";
  }
  return error;
}

Result<json::value> Api::Call(std::string_view method, std::string_view target,
                              const json::object* body, std::chrono::milliseconds limit) const {
  const Deadline deadline = Deadline::After(limit);
  ASSIGN_OR_RETURN(const auto http, Connect());
  wire::RequestHead head = MakeHead(method, target);
  std::string text;
  if (body) {
    head.fields.Add("Content-Type", "application/json");
    text = json::serialize(*body);
  }
  if (auto sent = http->Send(std::move(head), text, deadline); !sent) {
    return Fail(sent.error().WithContext("no answer from the server at " + endpoint_.Address()));
  }
  if (auto error = ErrorOf(*http, deadline)) return Fail(std::move(*error));
  ASSIGN_OR_RETURN(const std::string answer, http->body().ReadAll(kMaxAnswer, deadline));
  if (answer.empty()) return json::value();
  auto value = ParseJson(answer);
  if (!value) return Fail(Code::kUnavailable, "{}", NoWrenn("not JSON"));
  return value;
}

std::string Api::NoWrenn(std::string_view answer) const {
  return fmt::format(
      "what listens at {} does not answer as wrenn does ({}): {}", endpoint_.Address(), answer,
      IsLocal() ? "have a server listen elsewhere, e.g. 'wrenn serve --detach --listen "
                  "127.0.0.1:8081', or see WRENN_API_URL"
                : "see WRENN_API_URL");
}

bool Api::Answers() const {
  const auto http = Connect();
  return http && (*http)->Send(MakeHead("GET", "/health"), {}, Deadline::After(kHealthLimit));
}

std::string SandboxTarget(std::string_view id, std::string_view rest) {
  return fmt::format("/v1/sandboxes/{}{}", PercentEncode(id), rest);
}

}  // namespace wrenn::cli
