// Server: all parts wired together, from start to orderly end.
#pragma once

#include <functional>
#include <string>

#include "base/unique_fd.h"
#include "server/config.h"

namespace wrenn::server {

// A socket that listens where the settings say. Errors name the remedy.
Result<UniqueFd> Listen(const ServerConfig& config);

struct RunOptions {
  std::string version;
  // Called once when requests are answered, with the address, e.g. "127.0.0.1:8080".
  std::function<void(const std::string& address)> on_ready;
};

// Runs a server until SIGTERM or SIGINT: then no new requests, those in progress are given a while,
// and sandboxes go on or are stopped as configured. A second signal ends the process at once. An
// error means that it could not start, and leaves nothing behind.
//
// For the process's main thread, before it has others: they inherit its blocked signals.
Status Run(const ServerConfig& config, const RunOptions& options);

}  // namespace wrenn::server
