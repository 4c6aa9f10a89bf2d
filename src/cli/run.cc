// wrenn run: a program in a sandbox of its own, with all that it needs.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include <CLI/App.hpp>

#include "cli/commands.h"
#include "cli/copy_path.h"
#include "cli/foreground.h"
#include "cli/invocation.h"
#include "cli/options.h"
#include "cli/owned_sandbox.h"
#include "cli/process_flags.h"
#include "cli/script_rule.h"
#include "cli/server_process.h"
#include "cli/template_build.h"
#include "cli/terminal.h"
#include "cli/terminal_session.h"
#include "cli/transfer.h"

namespace wrenn::cli {
namespace {

struct Options {
  SandboxOptions sandbox;
  ProcessFlags process;
  std::vector<std::string> uploads;
  bool no_script = false;
  bool remove = false;
  bool keep = false;
  bool terminal = false;
};

bool IsLocalFile(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

// Copies one local file or folder into the working folder under `name`.
Status UploadOne(const Api& api, const std::string& sandbox, const Options& options,
                 const std::string& local, const std::string& name, bool executable) {
  const std::string& folder = options.process.cwd;
  const std::string place = folder.empty() ? name : JoinPath(folder, name);
  const std::string& user = options.process.user;
  struct stat info{};
  const UniqueFd file(::open(local.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file || ::fstat(file.get(), &info) < 0)
    return Fail(ErrnoError("cannot read '" + local + "'"));
  if (S_ISDIR(info.st_mode)) return UploadFolder(api, sandbox, local, place, user);
  std::optional<uint64_t> length;
  if (S_ISREG(info.st_mode)) length = static_cast<uint64_t>(info.st_size);
  RETURN_IF_ERROR(UploadFile(api, sandbox, file.get(), length, place, user));
  if (executable || (info.st_mode & 0100)) return SetGuestMode(api, sandbox, place, 0755, user);
  return {};
}

// Takes the script and the uploads along; the command as it reads in the sandbox.
Result<std::vector<std::string>> TakeAlong(const Api& api, const std::string& sandbox,
                                           const Options& options,
                                           std::vector<std::string> command) {
  for (const std::string& path : options.uploads) {
    const std::string name = BaseName(path);
    if (name.empty())
      return Fail(Code::kInvalidArgument, "--upload '{}' has no name of its own", path);
    RETURN_IF_ERROR(UploadOne(api, sandbox, options, path, name, false));
  }
  const auto script = options.no_script ? std::nullopt : FindScript(command, IsLocalFile);
  if (!script) return command;
  RETURN_IF_ERROR(UploadOne(api, sandbox, options, script->local, script->name, script->word == 0));
  // "./" so that a program is found, and that no name is taken for an option.
  command[script->word] = "./" + script->name;
  return command;
}

// Builds the template when it is a built-in one and the server, on this machine, has it not.
Status EnsureTemplate(const Api& api, const std::string& name) {
  if (!IsBuiltIn(name) || !api.IsLocal()) return {};
  ASSIGN_OR_RETURN(const json::value templates, api.Call("GET", "/v1/templates"));
  if (!templates.is_array()) return Fail(Code::kInternal, "the server's answer is no list");
  for (const json::value& item : templates.get_array()) {
    const json::object* object = item.if_object();
    if (object && JsonReader(*object).String("name") == name) return {};
  }
  PrintNote(fmt::format("the template '{}' is made now; this is done once", name));
  RETURN_IF_ERROR(BuildTemplate(BuiltInRequest(name)));
  return {};
}

// Copies what goes along and starts the program. A signal meanwhile removes the sandbox, which
// breaks off whatever goes on; it is `interrupted` then.
Result<GuestProcess> Begin(const Api& api, const OwnedSandbox& sandbox, const Options& options,
                           const std::vector<std::string>& words, SignalSource& signals,
                           int& interrupted) {
  ASSIGN_OR_RETURN(UniqueFd stop, MakeEventFd());
  SignalWatch watch(signals, std::move(stop), [&] {
    if (const Status removed = sandbox.Destroy(); !removed) PrintError(removed.error());
  });
  const auto begin = [&]() -> Result<GuestProcess> {
    ASSIGN_OR_RETURN(std::vector<std::string> command,
                     TakeAlong(api, sandbox.id(), options, words));
    ASSIGN_OR_RETURN(ProcessOptions process,
                     MakeProcessOptions(options.process, std::move(command)));
    if (options.terminal) return StartOnTerminal(api, sandbox.id(), std::move(process));
    process.stdin_open = true;
    return GuestProcess::Start(api, sandbox.id(), process);
  };
  Result<GuestProcess> started = begin();
  interrupted = watch.Finish();
  return started;
}

Result<int> RunIn(const Api& api, const OwnedSandbox& sandbox, const Options& options,
                  const std::vector<std::string>& words, SignalSource& signals, int& interrupted) {
  auto process = Begin(api, sandbox, options, words, signals, interrupted);
  if (interrupted) return kSignalBase + interrupted;
  if (!process) return StartFailure(process.error());
  return options.terminal ? AttachTerminal(*process) : RunForeground(*process, signals, true);
}

Result<int> Run(const Options& options, const std::vector<std::string>& command) {
  if (options.keep && options.remove)
    return Fail(Code::kInvalidArgument, "--rm or --keep, not both");
  ASSIGN_OR_RETURN(Api api, Api::FromEnvironment());
  RETURN_IF_ERROR(EnsureServer(api));
  ASSIGN_OR_RETURN(api, Api::FromEnvironment());  // the first start has made the key
  RETURN_IF_ERROR(EnsureTemplate(api, options.sandbox.template_name));
  SandboxOptions wanted = options.sandbox;
  // Should this be killed, nobody knows of the sandbox: better none than one paused for ever.
  if (wanted.on_timeout.empty() && !options.keep) wanted.on_timeout = "stop";
  ASSIGN_OR_RETURN(const json::object request, CreateRequest(wanted));
  ASSIGN_OR_RETURN(SignalSource signals, SignalSource::Take({SIGINT, SIGTERM, SIGHUP, SIGQUIT}));
  int interrupted = 0;
  auto sandbox = OwnedSandbox::Create(api, request, signals, interrupted);
  if (interrupted) return kSignalBase + interrupted;
  if (!sandbox) return Fail(sandbox.error());
  Result<int> code = RunIn(api, *sandbox, options, command, signals, interrupted);
  if (options.keep && interrupted == 0) {
    PrintNote("kept " + sandbox->Keep());
    return code;
  }
  if (const Status removed = sandbox->Remove(); !removed) PrintError(removed.error());
  return code;
}

}  // namespace

void AddRun(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("run", "Run a program in a sandbox of its own");
  auto options = std::make_shared<Options>();
  AddProgram(*command, "The program with its arguments; they are its own");
  AddSandboxOptions(*command, options->sandbox, "base", "stop; with --keep pause");
  AddProcessFlags(*command, options->process, false);
  command
      ->add_option("--upload", options->uploads, "Copy this file or folder into its working folder")
      ->allow_extra_args(false)
      ->type_name("FILE");
  command->add_flag("--no-script", options->no_script, "Do not take the command's script along");
  command->add_flag("--rm", options->remove, "Remove the sandbox afterwards (the default)");
  command->add_flag("--keep", options->keep, "Keep the sandbox and print its id on stderr");
  command->add_flag("--tty", options->terminal, "Run it on a terminal");
  command->footer(
      "Starts a server on this machine when none answers, and builds the template when it is "
      "minimal or\n"
      "base and missing. stdin, stdout and stderr are the program's; Ctrl-C goes to it, the second "
      "kills\n"
      "it, and the sandbox is removed whatever happens.\n\n"
      "What is taken along: behind an interpreter (sh, bash, python3, node, perl, ruby, ...) the "
      "first\n"
      "word that is no option, if it is a local file; or a program written as a local path such "
      "as\n"
      "./tool. It is copied into the working folder under its own name. Everything else must be "
      "named\n"
      "with --upload. Other paths are the sandbox's.\n\n"
      "Exit code: as of 'wrenn exec'.\n\n"
      "Examples:\n"
      "  wrenn run -- python3 script.py\n"
      "  wrenn run --upload data.csv -- python3 analyse.py data.csv > report.txt\n"
      "  wrenn run --template minimal -- cat /etc/os-release\n"
      "  wrenn run --keep --egress -- sh -c 'curl -s https://example.org | wc -c'");
  command->callback([&invocation, options] {
    if (invocation.command.empty()) throw CLI::RequiredError("PROGRAM");
    invocation.failure_code = kOwnFailure;
    invocation.run = [options, &invocation] { return Run(*options, invocation.command); };
  });
}

}  // namespace wrenn::cli
