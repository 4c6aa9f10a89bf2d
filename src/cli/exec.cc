// wrenn exec: a program in a sandbox.
#include <unistd.h>

#include <memory>

#include <CLI/App.hpp>

#include "cli/commands.h"
#include "cli/foreground.h"
#include "cli/invocation.h"
#include "cli/process_flags.h"
#include "cli/sandbox_view.h"
#include "cli/terminal.h"
#include "cli/terminal_session.h"

namespace wrenn::cli {
namespace {

struct Options {
  std::string id;
  ProcessFlags process;
  bool interactive = false;
  bool terminal = false;
  bool detach = false;
};

// Starts the program and leaves it running; prints its pid.
Result<int> ExecDetached(const Api& api, const std::string& id, const ProcessOptions& process) {
  json::object request = {{"cmd", process.command[0]},
                          {"args", json::array(process.command.begin() + 1, process.command.end())},
                          {"background", true}};
  if (!process.envs.empty()) request["envs"] = process.envs;
  if (!process.cwd.empty()) request["cwd"] = process.cwd;
  if (!process.user.empty()) request["user"] = process.user;
  if (process.timeout_sec) request["timeout_sec"] = process.timeout_sec;
  const auto answer = api.Call("POST", SandboxTarget(id, "/exec"), &request);
  if (!answer) return StartFailure(answer.error());
  if (!answer->is_object()) return Fail(Code::kInternal, "the server's answer is no process");
  JsonReader reader(answer->get_object());
  const int64_t pid = reader.Int("pid", 0, 0, UINT32_MAX);
  RETURN_IF_ERROR(reader.Finish());
  fmt::print("{}\n", pid);
  return kSuccess;
}

Result<int> Exec(const Options& options, const std::vector<std::string>& command) {
  ASSIGN_OR_RETURN(ProcessOptions process, MakeProcessOptions(options.process, command));
  ASSIGN_OR_RETURN(const Api api, Api::FromEnvironment());
  ASSIGN_OR_RETURN(const std::string id, ResolveId(api, options.id));
  if (options.detach) return ExecDetached(api, id, process);
  if (options.terminal) return RunTerminal(api, id, std::move(process));
  process.stdin_open = options.interactive || !IsTerminal(STDIN_FILENO);
  auto started = GuestProcess::Start(api, id, process);
  if (!started) return StartFailure(started.error());
  ASSIGN_OR_RETURN(SignalSource signals, SignalSource::Take({SIGINT, SIGTERM, SIGHUP, SIGQUIT}));
  return RunForeground(*started, signals, process.stdin_open);
}

}  // namespace

void AddExec(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("exec", "Run a program in a sandbox");
  auto options = std::make_shared<Options>();
  command->add_option("ID", options->id, "The sandbox, or the beginning of its id")->required();
  command->add_flag("-i,--interactive", options->interactive, "Pass stdin on even from a terminal");
  command->add_flag("-t,--tty", options->terminal, "Run it on a terminal");
  command->add_flag("-d,--detach", options->detach, "Leave it running and print its pid");
  AddProgram(*command, "The program with its arguments; they are its own");
  AddProcessFlags(*command, options->process, true);
  command->footer(
      "stdin is passed on when it is no terminal, or with -i. Ctrl-C goes to the program; the "
      "second\n"
      "kills it. If wrenn itself is killed the program goes on: see 'wrenn ps'. One of -d keeps "
      "the\n"
      "sandbox from being idle while it runs.\n\n"
      "Exit code: the program's; 128 + n when signal n ended it; 125 when wrenn failed; 126 when "
      "the\n"
      "program could not be executed; 127 when there is none of that name.\n\n"
      "Examples:\n"
      "  wrenn exec sb-4k2 -- python3 -c 'print(1 + 1)'\n"
      "  wrenn exec sb-4k2 -- sha256sum < data.bin\n"
      "  wrenn exec -it sb-4k2 -- top\n"
      "  wrenn exec -d --cwd /srv sb-4k2 -- python3 -m http.server");
  command->callback([&invocation, options] {
    if (invocation.command.empty()) throw CLI::RequiredError("PROGRAM");
    invocation.failure_code = kOwnFailure;
    invocation.run = [options, &invocation] { return Exec(*options, invocation.command); };
  });
}

}  // namespace wrenn::cli
