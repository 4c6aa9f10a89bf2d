#include "cli/network_options.h"

#include <CLI/App.hpp>

#include "cli/checks.h"

namespace wrenn::cli {
namespace {

void AddList(CLI::App& app, const char* name, std::vector<std::string>& list, const char* help) {
  app.add_option(name, list, help)->allow_extra_args(false)->delimiter(',')->type_name("NETWORK");
}

void AddNumber(CLI::App& app, const char* name, std::optional<int64_t>& number, const char* help) {
  app.add_option(name, number, help)->check(Unnamed(CLI::NonNegativeNumber))->type_name("N");
}

void PutList(json::object& object, const char* name, const std::vector<std::string>& list) {
  if (list.empty()) return;
  const bool none = list.size() == 1 && list[0] == "none";
  object[name] = none ? json::array() : json::array(list.begin(), list.end());
}

}  // namespace

void AddNetworkOptions(CLI::App& app, NetworkOptions& options) {
  AddList(
      app, "--allow-out", options.allow_out,
      "Let it reach this address or network, whatever else is said; 'none' alone: an empty list");
  AddList(app, "--deny-out", options.deny_out, "Keep it from this address or network, likewise");
  AddNumber(app, "--upload-kbps", options.upload_kbps,
            "The most that it may send, in 1000 bits a second; 0: no limit");
  AddNumber(app, "--download-kbps", options.download_kbps,
            "The most that it may receive, likewise");
  AddNumber(app, "--max-connections", options.max_connections,
            "The most connections that it may have at a time; 0: no limit");
}

json::object NetworkMembers(const NetworkOptions& options) {
  json::object object;
  PutList(object, "allow_out", options.allow_out);
  PutList(object, "deny_out", options.deny_out);
  if (options.upload_kbps) object["upload_kbps"] = *options.upload_kbps;
  if (options.download_kbps) object["download_kbps"] = *options.download_kbps;
  if (options.max_connections) object["max_connections"] = *options.max_connections;
  return object;
}

}  // namespace wrenn::cli
