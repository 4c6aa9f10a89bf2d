#include "cli/app.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "cli/command_words.h"
#include "cli/commands.h"
#include "cli/complete.h"
#include "cli/terminal.h"

namespace wrenn::cli {
namespace {

constexpr const char* kFooter =
    "Environment:\n"
    "  WRENN_API_URL  the server to talk to (else the one that runs on the root)\n"
    "  WRENN_API_KEY  the key to show it (else that of the root's api-key file)\n"
    "  WRENN_ROOT     where templates, sandboxes and records are kept\n\n"
    "Examples:\n"
    "  wrenn doctor\n"
    "  wrenn run -- python3 script.py\n"
    "  wrenn serve --detach\n"
    "  wrenn create --template base\n\n"
    "'wrenn COMMAND --help' says more about each.";

// The words before a program of its own that each of these commands takes.
std::optional<size_t> PositionalsBeforeProgram(const std::string& subcommand) {
  if (subcommand == "run") return 0;
  if (subcommand == "exec" || subcommand == "shell") return 1;
  return std::nullopt;
}

// Takes the program to run in a sandbox out of the words, so that its options are not taken for
// ours.
void TakeProgram(const CLI::App& app, std::vector<std::string>& words, Invocation& invocation) {
  auto command = words.begin();
  if (command != words.end() && *command == "--url") ++command;
  if (command != words.begin() && command != words.end()) ++command;
  if (command != words.end() && command->starts_with("--url=")) ++command;
  if (command == words.end()) return;
  const auto positionals = PositionalsBeforeProgram(*command);
  if (!positionals) return;
  const CLI::App* subcommand = app.get_subcommand(*command);
  SplitWords split = SplitCommand(*subcommand, {command + 1, words.end()}, *positionals);
  invocation.command = std::move(split.command);
  words.erase(command + 1, words.end());
  words.insert(words.end(), split.own.begin(), split.own.end());
}

// The innermost subcommand that was named, for the hint at its help.
const CLI::App& Innermost(const CLI::App& app) {
  const CLI::App* current = &app;
  while (!current->get_subcommands().empty()) current = current->get_subcommands().front();
  return *current;
}

std::string FullName(const CLI::App& app) {
  return app.get_parent() ? FullName(*app.get_parent()) + " " + app.get_name() : app.get_name();
}

}  // namespace

std::unique_ptr<CLI::App> BuildApp(Invocation& invocation) {
  auto app = std::make_unique<CLI::App>("Runs untrusted code in microVMs of its own", "wrenn");
  app->require_subcommand(1);
  app->get_formatter()->column_width(34);
  app->add_option_function<std::string>(
         "--url", [](const std::string& url) { ::setenv("WRENN_API_URL", url.c_str(), 1); },
         "The server to talk to, before the command")
      ->type_name("URL");
  AddRun(*app, invocation);
  AddCreate(*app, invocation);
  AddLs(*app, invocation);
  AddExec(*app, invocation);
  AddShell(*app, invocation);
  AddCp(*app, invocation);
  AddPs(*app, invocation);
  AddLogs(*app, invocation);
  AddPause(*app, invocation);
  AddResume(*app, invocation);
  AddFork(*app, invocation);
  AddNetwork(*app, invocation);
  AddStop(*app, invocation);
  AddRm(*app, invocation);
  AddTemplate(*app, invocation);
  AddSnapshot(*app, invocation);
  AddServe(*app, invocation);
  AddKey(*app, invocation);
  AddDoctor(*app, invocation);
  AddCompletion(*app, invocation);
  AddVersion(*app, invocation);
  app->footer(kFooter);  // last: subcommands begin with their parent's
  return app;
}

std::optional<int> Parse(CLI::App& app, Invocation& invocation, std::vector<std::string> words) {
  if (words.size() == 1 && words[0] == "--version") words[0] = "version";
  TakeProgram(app, words, invocation);
  std::reverse(words.begin(), words.end());  // CLI11 takes them from the back
  try {
    app.parse(std::move(words));
  } catch (const CLI::CallForHelp&) {
    const CLI::App& named = Innermost(app);
    fmt::print("{}", named.help(named.get_parent() ? FullName(*named.get_parent()) : ""));
    return kSuccess;
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "wrenn: {}\nSee '{} --help'\n", error.what(), FullName(Innermost(app)));
    return kUsageError;
  }
  return std::nullopt;
}

int Main(const std::vector<std::string>& argv) {
  // A reader that went away is seen as an error of write(2), and answered in order.
  ::signal(SIGPIPE, SIG_IGN);
  if (argv.size() > 1 && argv[1] == "__complete") {
    return MainComplete({argv.begin() + 2, argv.end()});
  }
  Invocation invocation;
  const auto app = BuildApp(invocation);
  if (const auto code = Parse(*app, invocation, {argv.begin() + 1, argv.end()})) return *code;
  Result<int> result = kSuccess;
  try {
    result = invocation.run();
  } catch (const std::exception& error) {
    result = Fail(Code::kInternal, "unexpected: {}", error.what());
  }
  if (!result) {
    PrintError(result.error());
    return invocation.failure_code;
  }
  if (std::fflush(stdout) != 0 && *result == kSuccess) {
    if (errno != EPIPE) PrintError(ErrnoError("cannot write the output"));
    return invocation.failure_code;
  }
  return *result;
}

}  // namespace wrenn::cli
