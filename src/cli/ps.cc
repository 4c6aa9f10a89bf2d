// wrenn ps: the programs that run in a sandbox by wrenn.
#include <memory>

#include <CLI/App.hpp>

#include "base/encoding.h"
#include "cli/commands.h"
#include "cli/invocation.h"
#include "cli/output.h"
#include "cli/sandbox_view.h"
#include "cli/table.h"

namespace wrenn::cli {
namespace {

struct Options {
  std::string id;
  std::vector<std::string> kill;
  bool json = false;
};

Result<int> Kill(const Api& api, const std::string& id, const std::vector<std::string>& processes) {
  for (const std::string& process : processes) {
    RETURN_IF_ERROR(api.Call("DELETE", SandboxTarget(id, "/processes/" + PercentEncode(process))));
    fmt::print("{}\n", process);
  }
  return kSuccess;
}

std::string CommandLine(const json::object& process) {
  JsonReader reader(process);
  std::string line = reader.String("cmd");
  for (const std::string& argument : reader.Strings("args")) line += " " + argument;
  return line;
}

Result<int> List(const Options& options) {
  ASSIGN_OR_RETURN(const Api api, Api::FromEnvironment());
  ASSIGN_OR_RETURN(const std::string id, ResolveId(api, options.id));
  if (!options.kill.empty()) return Kill(api, id, options.kill);
  ASSIGN_OR_RETURN(const json::value answer, api.Call("GET", SandboxTarget(id, "/processes")));
  if (!answer.is_array()) return Fail(Code::kInternal, "the server's answer is no list");
  if (options.json) {
    PrintJson(answer);
    return kSuccess;
  }
  Table table({"PID", "TAG", "COMMAND"});
  for (const json::value& item : answer.get_array()) {
    if (!item.is_object()) continue;
    JsonReader reader(item.get_object());
    table.Add({std::to_string(reader.Int("pid", 0, 0, UINT32_MAX)), reader.String("tag"),
               CommandLine(item.get_object())});
  }
  fmt::print("{}", table.Format());
  return kSuccess;
}

}  // namespace

void AddPs(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("ps", "List the programs that wrenn runs in a sandbox");
  auto options = std::make_shared<Options>();
  command->add_option("ID", options->id, "The sandbox, or the beginning of its id")->required();
  command->add_option("--kill", options->kill, "Kill this one, by pid or tag, with its children")
      ->allow_extra_args(false)
      ->type_name("PID");
  command->add_flag("--json", options->json, "As JSON");
  command->footer(
      "All processes of the guest: wrenn exec ID -- ps\n\n"
      "Examples:\n"
      "  wrenn ps sb-4k2\n"
      "  wrenn ps sb-4k2 --kill 312");
  command->callback(
      [&invocation, options] { invocation.run = [options] { return List(*options); }; });
}

}  // namespace wrenn::cli
