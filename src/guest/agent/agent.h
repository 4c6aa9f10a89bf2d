// Agent: the service behind everything that is done in a guest from outside.
#pragma once

#include <atomic>
#include <functional>

#include "guest/agent/content_service.h"
#include "guest/agent/filesystem_service.h"
#include "guest/agent/metrics.h"
#include "guest/agent/process_service.h"
#include "wire/http_server.h"

namespace wrenn::guest {

// Serves the envd wire over HTTP/1.1: GET /health, /metrics, /envs, /files; POST /init, /files,
// /sync, /shutdown; and the Connect services process.Process and filesystem.Filesystem.
//
// All but /health and /init want the token of the last /init in X-Access-Token; /init wants it once
// there is one, in that field or again as the request's own accessToken (a repeated request).
class Agent {
 public:
  struct Options {
    // Whether the machine is ours to change: its clock, names and entropy by /init, its end by
    // /shutdown. False for an agent that runs as an ordinary program.
    bool owns_machine = false;
    std::string token;                // to begin with; empty: none until /init
    std::function<void()> shut_down;  // begins an orderly shutdown, and returns
  };

  explicit Agent(Options options);
  ~Agent() { Stop(); }

  // Serves connections that come in on a listening socket, or one connection.
  void Listen(UniqueFd listener) { server_.Listen(std::move(listener)); }
  void Serve(UniqueFd connection) { server_.Serve(std::move(connection)); }

  // Ends all connections and kills all processes.
  void Stop();

  // The end of the machine: refuses new requests from now on, but answers those that it has.
  void BeginEnd() { ending_ = true; }
  // Then breaks what is left, so that nothing more is acknowledged.
  void BreakConnections(Deadline deadline) { server_.Stop(deadline); }

 private:
  void Handle(wire::Exchange& exchange);
  void Route(wire::Exchange& exchange, std::string_view method, std::string_view path);
  bool IsAuthorized(const wire::RequestHead& head, std::string_view path);
  void Init(wire::Exchange& exchange);
  Result<wire::InitReply> DoInit(wire::Exchange& exchange);
  void ShutDown(wire::Exchange& exchange);

  std::atomic<bool> ending_{false};
  const Options options_;
  Settings settings_;
  Metrics metrics_;
  ContentService content_;
  ProcessService processes_;
  FilesystemService filesystem_;
  wire::HttpServer server_;  // last: its handlers use the others
};

}  // namespace wrenn::guest
