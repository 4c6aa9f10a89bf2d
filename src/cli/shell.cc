// wrenn shell: a terminal in a sandbox.
#include <memory>

#include <CLI/App.hpp>

#include "cli/commands.h"
#include "cli/invocation.h"
#include "cli/process_flags.h"
#include "cli/sandbox_view.h"
#include "cli/terminal_session.h"

namespace wrenn::cli {
namespace {

struct Options {
  std::string id;
  ProcessFlags process;
};

Result<int> Shell(const Options& options, const std::vector<std::string>& command) {
  ASSIGN_OR_RETURN(ProcessOptions process, MakeProcessOptions(options.process, command));
  ASSIGN_OR_RETURN(const Api api, Api::FromEnvironment());
  ASSIGN_OR_RETURN(const std::string id, ResolveId(api, options.id));
  return RunTerminal(api, id, std::move(process));
}

}  // namespace

void AddShell(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("shell", "Open a terminal in a sandbox");
  auto options = std::make_shared<Options>();
  command->add_option("ID", options->id, "The sandbox, or the beginning of its id")->required();
  AddProgram(*command, "A program instead of a login shell");
  AddProcessFlags(*command, options->process, true);
  command->footer(
      "Without a program it is a login shell. Every key goes to it; 'exit' or Ctrl-D ends it.\n\n"
      "Exit code: as of 'wrenn exec'.\n\n"
      "Examples:\n"
      "  wrenn shell sb-4k2\n"
      "  wrenn shell --user root sb-4k2 -- vi /etc/hosts");
  command->callback([&invocation, options] {
    invocation.failure_code = kOwnFailure;
    invocation.run = [options, &invocation] { return Shell(*options, invocation.command); };
  });
}

}  // namespace wrenn::cli
