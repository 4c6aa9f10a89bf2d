// The server as a process in the background.
#pragma once

#include <string>
#include <vector>

#include "cli/api.h"
#include "server/config.h"

namespace wrenn::cli {

struct StartedServer {
  pid_t pid = 0;
  std::string address;  // that it listens on
  std::string log;      // path of its log
};

// Where a server in the background logs: the configured file, else the root's server.log.
std::string LogFileOf(const server::ServerConfig& config);

// Starts `wrenn serve` with these arguments, whose settings `config` has too, in the background, in
// a session of its own, with its output in its log, and returns when it answers requests. When it
// cannot start, the error says why in its own words, and nothing is left running.
Result<StartedServer> StartServer(const server::ServerConfig& config,
                                  std::vector<std::string> arguments);

// For the started server: tells the starter through `ready_fd` (-1: nobody waits) how it went, and
// closes it.
void ReportReady(int ready_fd, const std::string& address);
void ReportFailure(int ready_fd, const Error& error);

// Makes sure that a server answers at the API's endpoint: starts one when the endpoint is on this
// machine and nobody listens there.
Status EnsureServer(const Api& api);

}  // namespace wrenn::cli
