// wrenn network: what a sandbox may reach, shown and changed.
#include <memory>

#include <CLI/App.hpp>

#include "cli/commands.h"
#include "cli/invocation.h"
#include "cli/network_options.h"
#include "cli/output.h"
#include "cli/sandbox_view.h"
#include "cli/table.h"

namespace wrenn::cli {
namespace {

struct Options {
  std::string id;
  std::optional<bool> egress;
  NetworkOptions network;
  bool json = false;
};

std::string ListText(const std::vector<std::string>& list) {
  return list.empty() ? "-" : fmt::format("{}", fmt::join(list, ", "));
}

std::string LimitText(JsonReader& reader, std::string_view name, const char* unit) {
  const int64_t limit = reader.Int(name, 0, 0, INT64_MAX);
  return limit == 0 ? "no limit" : fmt::format("{}{}", limit, unit);
}

std::string Describe(const std::string& id, const json::object& network) {
  JsonReader reader(network);
  Table table({"SANDBOX", id});
  table.Add({"INTERNET", reader.Bool("allow_internet_access") ? "yes" : "no"});
  table.Add({"ALLOWED", ListText(reader.Strings("allow_out"))});
  table.Add({"DENIED", ListText(reader.Strings("deny_out"))});
  table.Add({"UPLOAD", LimitText(reader, "upload_kbps", " kbit/s")});
  table.Add({"DOWNLOAD", LimitText(reader, "download_kbps", " kbit/s")});
  table.Add({"CONNECTIONS", reader.Has("max_connections") ? LimitText(reader, "max_connections", "")
                                                          : "as by default"});
  return table.Format();
}

Result<int> Network(const Options& options) {
  ASSIGN_OR_RETURN(const Api api, Api::FromEnvironment());
  ASSIGN_OR_RETURN(const std::string id, ResolveId(api, options.id));
  json::object change = NetworkMembers(options.network);
  if (options.egress) change["allow_internet_access"] = *options.egress;
  ASSIGN_OR_RETURN(const json::value answer,
                   change.empty() ? api.Call("GET", SandboxTarget(id))
                                  : api.Call("PATCH", SandboxTarget(id, "/network"), &change));
  ASSIGN_OR_RETURN(const SandboxView sandbox, DecodeSandbox(answer));
  const json::value* network = sandbox.raw.if_contains("network");
  if (!network || !network->is_object()) {
    return Fail(Code::kInternal, "the server's answer has no network: it is an older wrenn");
  }
  if (options.json) {
    PrintJson(*network);
  } else {
    fmt::print("{}", Describe(id, network->get_object()));
  }
  return kSuccess;
}

}  // namespace

void AddNetwork(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("network", "Show what a sandbox may reach, or change it");
  auto options = std::make_shared<Options>();
  command->add_option("ID", options->id, "The sandbox, or the beginning of its id")->required();
  command->add_flag_function(
      "--egress,!--no-egress", [options](int64_t count) { options->egress = count > 0; },
      "Whether it may reach the internet");
  AddNetworkOptions(*command, options->network);
  command->add_flag("--json", options->json, "As JSON");
  command->footer(
      "A change holds at once, for connections that are open too, and what is not named stays as\n"
      "it is; a list takes the place of the one before. It needs a network slot, which a server\n"
      "that runs as root gives to sandboxes with a network, and with --engine firecracker to all.\n"
      "What comes first decides: private and other special addresses are never reached, then\n"
      "--allow-out, --deny-out, --egress.\n\n"
      "Examples:\n"
      "  wrenn network sb-4k2\n"
      "  wrenn network sb-4k2 --no-egress --allow-out 1.1.1.1,9.9.9.0/24\n"
      "  wrenn network sb-4k2 --egress --allow-out none --upload-kbps 8000");
  command->callback(
      [&invocation, options] { invocation.run = [options] { return Network(*options); }; });
}

}  // namespace wrenn::cli
