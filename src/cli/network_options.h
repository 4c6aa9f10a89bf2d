// Options that say what a sandbox may reach, as `create`, `run` and `network` take them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace CLI {
class App;
}

namespace wrenn::cli {

// What is not said is left as it is.
struct NetworkOptions {
  std::vector<std::string> allow_out;  // "none" alone: an empty list
  std::vector<std::string> deny_out;
  std::optional<int64_t> upload_kbps;
  std::optional<int64_t> download_kbps;
  std::optional<int64_t> max_connections;
};

void AddNetworkOptions(CLI::App& app, NetworkOptions& options);

// The members of the API's Network that were said.
json::object NetworkMembers(const NetworkOptions& options);

}  // namespace wrenn::cli
