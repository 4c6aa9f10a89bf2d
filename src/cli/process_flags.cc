#include "cli/process_flags.h"

#include <CLI/App.hpp>

#include "cli/checks.h"
#include "cli/invocation.h"
#include "cli/options.h"
#include "cli/terminal.h"

namespace wrenn::cli {

void AddProcessFlags(CLI::App& command, ProcessFlags& flags, bool env_and_timeout) {
  command.add_option("-u,--user", flags.user, "User that it runs as")->type_name("USER");
  command.add_option("-w,--cwd", flags.cwd, "Folder that it starts in; else the user's home")
      ->type_name("DIR");
  if (!env_and_timeout) return;
  command.add_option("-e,--env", flags.envs, "Environment variable, KEY=VALUE, or KEY to pass on")
      ->allow_extra_args(false)
      ->type_name("KEY=VALUE");
  command
      .add_option("--timeout", flags.timeout_sec, "Kill it with its children after SEC; 0: never")
      ->check(Unnamed(CLI::NonNegativeNumber))
      ->type_name("SEC");
}

void AddProgram(CLI::App& command, const std::string& description) {
  command.add_option_function<std::vector<std::string>>(
      "PROGRAM", [](const std::vector<std::string>&) {}, description);
}

Result<ProcessOptions> MakeProcessOptions(const ProcessFlags& flags,
                                          std::vector<std::string> command) {
  ProcessOptions options;
  options.command = std::move(command);
  options.user = flags.user;
  options.cwd = flags.cwd;
  options.timeout_sec = flags.timeout_sec;
  ASSIGN_OR_RETURN(options.envs, ReadPairs(flags.envs, "--env", true));
  return options;
}

Result<int> StartFailure(const Error& error) {
  // The agent's words for what execve(2) said (guest/process/spawn.cc).
  const auto says = [&](std::string_view text) {
    return error.message.find(text) != std::string::npos;
  };
  int code = kOwnFailure;
  if (says("command '") && says("' not found")) code = kNoSuchProgram;
  if (says("command '") && (says("' is not executable") || says("' is not a program"))) {
    code = kCannotExecute;
  }
  if (code == kOwnFailure) return Fail(error);
  PrintError(error);
  return code;
}

}  // namespace wrenn::cli
