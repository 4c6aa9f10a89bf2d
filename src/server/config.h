// The server's configuration: a file, the environment and flags, each over the one before.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "os/paths.h"
#include "sandbox/manager.h"

namespace wrenn::server {

inline constexpr const char* kDefaultConfigFile = "/etc/wrenn/wrenn.toml";

struct ServerConfig {
  os::Paths paths;
  std::string address = "127.0.0.1";  // an IPv4 or IPv6 literal
  uint16_t port = 8080;               // 0: a free one
  sandbox::WarmPoolConfig warm_pool;
  int64_t standby_seconds = 60;
  bool verify_at_load = false;
  sandbox::Isolation isolation;
  sandbox::Limits limits = sandbox::DefaultLimits();
  std::string disk_backend = "auto";
  vmm::DiskRate disk_rate;
  std::string engine = "auto";
  std::string firecracker = "firecracker";  // its program: a path, or a name to look for
  std::string acceleration = "auto";
  sandbox::AtShutdown at_shutdown = sandbox::AtShutdown::kKeep;
  int64_t ended_retention_hours = 24;
  std::string log_level = "info";
  std::string log_file;  // rotated; empty: stderr
};

// One setting, in all the ways it can be given.
struct Setting {
  std::string_view key;          // in the file: "listen", "limits.max_sandboxes"
  std::string_view environment;  // "WRENN_LISTEN"
  std::string_view flag;         // "--listen"
  std::string_view value;        // what it takes, for help texts: "ADDRESS:PORT"
  std::string_view help;
  bool number = false;
  Status (*apply)(ServerConfig& config, const std::string& value);
};

std::span<const Setting> Settings();

// Reads $WRENN_CONFIG, or /etc/wrenn/wrenn.toml where that exists, then the environment, then
// `flags` (values by setting key). kInvalidArgument names the file and line, the variable or the
// flag.
Result<ServerConfig> LoadConfig(const std::map<std::string, std::string>& flags);

// Applies the settings of a file's text; `name` is what errors call the file.
Status ApplyToml(std::string_view text, const std::string& name, ServerConfig& config);

}  // namespace wrenn::server
