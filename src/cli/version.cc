// wrenn version: of this program and of the server.
#include <memory>

#include <CLI/App.hpp>

#include "cli/api.h"
#include "cli/commands.h"
#include "cli/invocation.h"
#include "cli/output.h"

namespace wrenn::cli {
namespace {

Result<int> Version(bool as_json) {
  json::object versions = {{"wrenn", WRENN_VERSION}};
  if (const auto api = Api::FromEnvironment()) {
    if (auto health = api->Call("GET", "/health", nullptr, std::chrono::seconds(5))) {
      versions["server"] = std::move(*health);
    }
  }
  if (as_json) {
    PrintJson(versions);
    return kSuccess;
  }
  fmt::print("wrenn {}\n", WRENN_VERSION);
  if (const json::value* server = versions.if_contains("server"); server && server->is_object()) {
    JsonReader reader(server->get_object());
    const std::string version = reader.String("version");
    if (!version.empty()) fmt::print("server {}\n", version);
  }
  return kSuccess;
}

}  // namespace

void AddVersion(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("version", "Versions of this program and of the server");
  auto as_json = std::make_shared<bool>(false);
  command->add_flag("--json", *as_json, "As JSON, with what the server says of itself");
  command->callback(
      [&invocation, as_json] { invocation.run = [as_json] { return Version(*as_json); }; });
}

}  // namespace wrenn::cli
