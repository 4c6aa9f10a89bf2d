// Sandboxes as the API shows them, and how a user names one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/api.h"

namespace wrenn::cli {

// What a client needs of a sandbox; `raw` is all that the server said.
struct SandboxView {
  std::string id;
  std::string status;
  std::string reason;
  std::string template_name;
  std::string engine;  // "qemu/tcg"
  int64_t vcpus = 0;
  int64_t memory_mb = 0;
  int64_t disk_mb = 0;
  std::optional<int64_t> disk_used_bytes;  // only where the server says it
  int64_t timeout_sec = 0;
  std::string created_at;
  std::string last_active_at;
  json::object raw;

  // Whether it is over: it has a record and a console, but no machine.
  bool ended() const { return status == "stopped" || status == "error"; }
  // Whether it has a machine, or is about to.
  bool runs() const { return !ended() && status != "pausing" && status != "paused"; }
};

Result<SandboxView> DecodeSandbox(const json::value& value);

// All sandboxes, ended ones too, as the server orders them.
Result<std::vector<SandboxView>> ListSandboxes(const Api& api);

// The id that a user means: an id, or the beginning of exactly one, with or without "sb-". Live
// sandboxes go before ended ones. kNotFound; kInvalidArgument when several begin so.
Result<std::string> MatchId(const std::vector<SandboxView>& sandboxes, const std::string& text);

// The sandboxes that several texts mean, each once, in their order.
Result<std::vector<std::string>> ResolveIds(const Api& api, const std::vector<std::string>& texts);

// The same for one against the server; a whole id is taken as it is.
Result<std::string> ResolveId(const Api& api, const std::string& text);

}  // namespace wrenn::cli
