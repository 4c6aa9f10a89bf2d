// wrenn stop and wrenn rm: the end of sandboxes.
#include <memory>
#include <set>

#include <CLI/App.hpp>

#include "cli/commands.h"
#include "cli/for_each_sandbox.h"
#include "cli/invocation.h"
#include "cli/sandbox_view.h"
#include "cli/terminal.h"

namespace wrenn::cli {
namespace {

struct Options {
  std::vector<std::string> ids;
  bool all = false;
  bool force = false;
};

// The ids that are meant, each once. With `force`, what is not there is left out instead of an
// error.
Result<std::vector<std::string>> Targets(const Api& api, const Options& options, bool ended_too) {
  ASSIGN_OR_RETURN(const auto sandboxes, ListSandboxes(api));
  std::set<std::string> ids;
  if (options.all) {
    for (const SandboxView& sandbox : sandboxes) {
      if (ended_too || !sandbox.ended()) ids.insert(sandbox.id);
    }
  }
  for (const std::string& text : options.ids) {
    auto id = MatchId(sandboxes, text);
    if (!id && options.force && id.error().code == Code::kNotFound) continue;
    if (!id) return Fail(std::move(id.error()));
    ids.insert(std::move(*id));
  }
  return std::vector(ids.begin(), ids.end());
}

Result<int> Remove(const Options& options) {
  ASSIGN_OR_RETURN(const Api api, Api::FromEnvironment());
  ASSIGN_OR_RETURN(const auto ids, Targets(api, options, true));
  const size_t failed = ForEachSandbox(ids, "removing", [&](const std::string& id) -> Status {
    const auto removed = api.Call("DELETE", SandboxTarget(id));
    const bool gone = !removed && removed.error().code == Code::kNotFound && options.force;
    if (!removed && !gone) return Fail(removed.error());
    return {};
  });
  return failed == 0 ? kSuccess : kFailure;
}

Result<int> Stop(const Options& options) {
  ASSIGN_OR_RETURN(const Api api, Api::FromEnvironment());
  ASSIGN_OR_RETURN(const auto ids, Targets(api, options, false));
  return StopSandboxes(api, ids) == 0 ? kSuccess : kFailure;
}

void AddIds(CLI::App& command, Options& options, const char* all) {
  auto* ids = command.add_option("ID", options.ids, "Sandboxes, or the beginnings of their ids");
  command.add_flag("--all", options.all, all)->excludes(ids);
}

// A usage error unless it is said which sandboxes are meant.
void RequireTargets(const Options& options) {
  if (!options.all && options.ids.empty()) throw CLI::RequiredError("ID or --all");
}

}  // namespace

void AddStop(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("stop", "Stop sandboxes in order; their records stay");
  auto options = std::make_shared<Options>();
  AddIds(*command, *options, "All that run");
  command->footer(
      "The guest shuts down by itself, and is ended after a while if it does not. 'wrenn logs' "
      "and\n"
      "'wrenn ls --all' still show it, until 'wrenn rm'.\n\n"
      "Examples:\n"
      "  wrenn stop sb-4k2");
  command->callback([&invocation, options] {
    RequireTargets(*options);
    invocation.run = [options] { return Stop(*options); };
  });
}

void AddRm(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("rm", "End sandboxes at once and remove all of them");
  auto options = std::make_shared<Options>();
  AddIds(*command, *options, "All sandboxes, running or not");
  command->add_flag("-f,--force", options->force, "No error for one that does not exist");
  command->footer(
      "Examples:\n"
      "  wrenn rm sb-4k2 sb-9xt\n"
      "  wrenn rm --all");
  command->callback([&invocation, options] {
    RequireTargets(*options);
    invocation.run = [options] { return Remove(*options); };
  });
}

}  // namespace wrenn::cli
