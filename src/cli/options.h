// Options that several commands share, and their reading.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "cli/network_options.h"

namespace CLI {
class App;
}

namespace wrenn::cli {

// What a new sandbox is made of, as `create` and `run` take it.
struct SandboxOptions {
  std::string template_name;
  int vcpus = 0;  // 0: the template's
  int memory_mb = 0;
  int disk_mb = 0;
  int64_t timeout_sec = 300;
  std::string on_timeout;  // empty: the server's default
  bool auto_resume = false;
  bool cold = false;
  bool egress = false;
  NetworkOptions network;
  std::vector<std::string> envs;
  std::vector<std::string> labels;
};

// `on_timeout_default` is for the help: what comes of an empty SandboxOptions::on_timeout.
void AddSandboxOptions(CLI::App& app, SandboxOptions& options, const std::string& default_template,
                       const std::string& on_timeout_default);

// The request of POST /v1/sandboxes.
Result<json::object> CreateRequest(const SandboxOptions& options);

// KEY=VALUE pairs as an object; a KEY alone takes its value from wrenn's own environment, and is
// left out when it is not there. kInvalidArgument for anything else; `option` is named in the
// message.
Result<json::object> ReadPairs(const std::vector<std::string>& pairs, std::string_view option,
                               bool from_environment);

}  // namespace wrenn::cli
