// Api: the server's REST API as the command line sees it.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "cli/interrupter.h"
#include "os/paths.h"
#include "wire/http_client.h"

namespace wrenn::cli {

// Where a server listens: an http URL taken apart.
struct Endpoint {
  std::string host;  // a name or an address, without brackets
  uint16_t port = 80;
  std::string prefix;  // of every path, without a slash at its end

  std::string Address() const;  // "127.0.0.1:8080", "[::1]:8080"
  bool IsLoopback() const;      // "localhost" or a loopback address
};

// Where one who listens at `endpoint` is reached: any address of a machine is its loopback's.
Endpoint Reachable(Endpoint endpoint);

// kInvalidArgument for anything but http://host[:port][/path].
Result<Endpoint> ParseUrl(std::string_view url);

// Asks one server. Each call is a connection of its own, so it can be used from several threads.
// Errors of the server come back with its code and message; without a server the message says how
// to start one.
class Api {
 public:
  static constexpr std::chrono::milliseconds kDefaultLimit{60'000};

  // The server of $WRENN_API_URL; else that which runs on this machine's root; else where the
  // settings have one listen. The key is that of $WRENN_API_KEY, else, for the server that runs on
  // this machine's root, of the root's key file (none at all when that cannot be read: the server
  // then refuses what needs one).
  static Result<Api> FromEnvironment();
  // The server that runs on a root of this machine, at `url`, and that root's key.
  static Result<Api> OfRoot(const os::Paths& paths, std::string_view url);

  Api(Endpoint endpoint, std::string key) : endpoint_(std::move(endpoint)), key_(std::move(key)) {}

  const Endpoint& endpoint() const { return endpoint_; }

  // From now on connections are under its control; null: they are not.
  void set_interrupter(std::shared_ptr<Interrupter> interrupter) {
    interrupter_ = std::move(interrupter);
  }

  // The longest that connecting takes; 10 s at first.
  void set_connect_limit(std::chrono::milliseconds limit) { connect_limit_ = limit; }

  // A request with a JSON body, or none, and the answer's JSON; null for an empty answer.
  Result<json::value> Call(std::string_view method, std::string_view target,
                           const json::object* body = nullptr,
                           std::chrono::milliseconds limit = kDefaultLimit) const;

  // The parts of Call(), for streams: a connection, a head with key and host, and the error that an
  // answer of 300 or more stands for (nothing for others).
  Result<std::unique_ptr<wire::HttpClient>> Connect() const;
  Result<UniqueFd> ConnectSocket() const;
  wire::RequestHead MakeHead(std::string_view method, std::string_view target) const;
  std::optional<Error> ErrorOf(wire::HttpClient& http, Deadline deadline) const;

  // Whether a server answers there at all.
  bool Answers() const;
  // Whether a server there would be one of this machine, so that its root may stand in for it.
  bool IsLocal() const { return endpoint_.IsLoopback() && endpoint_.prefix.empty(); }

 private:
  // What is said of somebody whose answer is none of wrenn's.
  std::string NoWrenn(std::string_view answer) const;

  Endpoint endpoint_;
  std::string key_;
  std::chrono::milliseconds connect_limit_{10'000};
  std::shared_ptr<Interrupter> interrupter_;
};

// "/v1/sandboxes/ID" and what follows it.
std::string SandboxTarget(std::string_view id, std::string_view rest = {});

}  // namespace wrenn::cli
