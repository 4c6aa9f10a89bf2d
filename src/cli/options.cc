#include "cli/options.h"

#include <cstdlib>

#include <CLI/App.hpp>

#include "cli/checks.h"

namespace wrenn::cli {

void AddSandboxOptions(CLI::App& app, SandboxOptions& options, const std::string& default_template,
                       const std::string& on_timeout_default) {
  options.template_name = default_template;
  app.add_option("-t,--template", options.template_name, "What it starts from (wrenn template ls)")
      ->type_name("NAME")
      ->capture_default_str();
  app.add_option("--vcpus", options.vcpus, "Virtual CPUs; else the template's")
      ->check(Unnamed(CLI::PositiveNumber))
      ->type_name("N");
  app.add_option("--memory", options.memory_mb, "Memory in MiB; else the template's")
      ->check(Unnamed(CLI::PositiveNumber))
      ->type_name("MIB");
  app.add_option("--disk", options.disk_mb, "Disk in MiB; else the template's")
      ->check(Unnamed(CLI::PositiveNumber))
      ->type_name("MIB");
  app.add_option("--timeout", options.timeout_sec, "Idle seconds until --on-timeout; 0: never")
      ->check(Unnamed(CLI::NonNegativeNumber))
      ->type_name("SEC")
      ->capture_default_str();
  app.add_option(
         "--on-timeout", options.on_timeout,
         "Then pause it, or stop it, as an engine that cannot pause always does (default: " +
             on_timeout_default + ")")
      ->check(CLI::IsMember({"pause", "stop"}))
      ->type_name("WHAT");
  app.add_flag("--auto-resume", options.auto_resume,
               "While it is paused, let a command, copy or terminal bring it back");
  app.add_flag("--cold", options.cold,
               "Boot it, without the memory of the snapshot that it starts from");
  app.add_flag("--egress", options.egress,
               "Let it reach the internet; by default it has no network");
  AddNetworkOptions(app, options.network);
  app.add_option("-e,--env", options.envs,
                 "Environment variable for its processes, KEY=VALUE, or KEY to pass on")
      ->allow_extra_args(false)
      ->type_name("KEY=VALUE");
  app.add_option("--label", options.labels, "A note of yours, kept with it")
      ->allow_extra_args(false)
      ->type_name("KEY=VALUE");
}

Result<json::object> ReadPairs(const std::vector<std::string>& pairs, std::string_view option,
                               bool from_environment) {
  json::object object;
  for (const std::string& pair : pairs) {
    const size_t equals = pair.find('=');
    const std::string key = pair.substr(0, equals);
    if (key.empty()) return Fail(Code::kInvalidArgument, "{} '{}' has no name", option, pair);
    if (equals != std::string::npos) {
      object[key] = pair.substr(equals + 1);
    } else if (!from_environment) {
      return Fail(Code::kInvalidArgument, "{} '{}' has no value: write {}=VALUE", option, pair,
                  key);
    } else if (const char* value = std::getenv(key.c_str())) {
      object[key] = value;
    }
  }
  return object;
}

Result<json::object> CreateRequest(const SandboxOptions& options) {
  json::object request = {{"template", options.template_name},
                          {"timeout_sec", options.timeout_sec}};
  if (options.vcpus) request["vcpus"] = options.vcpus;
  if (options.memory_mb) request["memory_mb"] = options.memory_mb;
  if (options.disk_mb) request["disk_mb"] = options.disk_mb;
  if (!options.on_timeout.empty()) request["on_timeout"] = options.on_timeout;
  if (options.auto_resume) request["auto_resume"] = true;
  if (options.cold) request["cold"] = true;
  if (options.egress) request["egress"] = true;
  json::object network = NetworkMembers(options.network);
  if (!network.empty()) request["network"] = std::move(network);
  ASSIGN_OR_RETURN(json::object envs, ReadPairs(options.envs, "--env", true));
  if (!envs.empty()) request["envs"] = std::move(envs);
  ASSIGN_OR_RETURN(json::object labels, ReadPairs(options.labels, "--label", false));
  if (!labels.empty()) request["metadata"] = std::move(labels);
  return request;
}

}  // namespace wrenn::cli
