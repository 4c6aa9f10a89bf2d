// wrenn serve: the server, here or in the background, and its end.
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <utility>

#include <CLI/App.hpp>

#include "cli/checks.h"
#include "cli/commands.h"
#include "cli/for_each_sandbox.h"
#include "cli/invocation.h"
#include "cli/sandbox_view.h"
#include "cli/server_process.h"
#include "cli/terminal.h"
#include "os/process.h"
#include "os/process_info.h"
#include "server/root_lock.h"
#include "server/server.h"

namespace wrenn::cli {
namespace {

// What the server itself takes to end: requests in progress, and its own work.
constexpr std::chrono::seconds kStopLimit{90};

struct Options {
  std::map<std::string, std::string> settings;  // by key
  std::string config;
  bool detach = false;
  bool stop = false;
  bool sandboxes = false;
  int ready_fd = -1;
};

Result<int> ServeHere(const Options& options) {
  int ready_fd = options.ready_fd;  // closed by the first report
  const auto run = [&]() -> Status {
    ASSIGN_OR_RETURN(const server::ServerConfig config, server::LoadConfig(options.settings));
    server::RunOptions run_options;
    run_options.version = WRENN_VERSION;
    run_options.on_ready = [&](const std::string& address) {
      ReportReady(std::exchange(ready_fd, -1), address);
    };
    return server::Run(config, run_options);
  };
  const Status done = run();
  if (done) return kSuccess;
  ReportFailure(ready_fd, done.error());
  return Fail(done.error());
}

Result<int> ServeInBackground(const Options& options) {
  ASSIGN_OR_RETURN(const server::ServerConfig config, server::LoadConfig(options.settings));
  std::vector<std::string> arguments;
  for (const server::Setting& setting : server::Settings()) {
    const auto given = options.settings.find(std::string(setting.key));
    if (given == options.settings.end()) continue;
    arguments.emplace_back(setting.flag);
    arguments.push_back(given->second);
  }
  ASSIGN_OR_RETURN(const StartedServer server, StartServer(config, std::move(arguments)));
  fmt::print("server pid {} on {}\nlog: {}\nto stop it: wrenn serve --stop\n", server.pid,
             server.address, server.log);
  return kSuccess;
}

// Those of the server that is to end, whatever server other commands talk to.
Status StopRunningSandboxes(const os::Paths& paths, const server::ServerOfRoot& server) {
  if (server.url.empty()) {
    return Fail(Code::kUnavailable,
                "the server (pid {}) does not answer yet: try again, or without --sandboxes",
                server.pid);
  }
  ASSIGN_OR_RETURN(const Api api, Api::OfRoot(paths, server.url));
  ASSIGN_OR_RETURN(const auto sandboxes, ListSandboxes(api));
  std::vector<std::string> ids;
  for (const SandboxView& sandbox : sandboxes) {
    if (sandbox.runs()) ids.push_back(sandbox.id);
  }
  const size_t failed = StopSandboxes(api, ids);
  if (failed > 0) return Fail(Code::kInternal, "{} sandboxes were not stopped", failed);
  return {};
}

Result<int> StopServer(const Options& options) {
  ASSIGN_OR_RETURN(const server::ServerConfig config, server::LoadConfig(options.settings));
  ASSIGN_OR_RETURN(const server::ServerOfRoot server, server::RunningServer(config.paths));
  const pid_t pid = server.pid;
  if (options.sandboxes) RETURN_IF_ERROR(StopRunningSandboxes(config.paths, server));
  ASSIGN_OR_RETURN(const os::ProcessStat stat, os::ReadProcessStat(pid));
  ASSIGN_OR_RETURN(os::Process process, os::Process::Open(pid, stat.start_time));
  RETURN_IF_ERROR(process.Signal(SIGTERM));
  const auto ended = process.Wait(Deadline::After(kStopLimit));
  if (!ended && ended.error().code == Code::kDeadlineExceeded) {
    return Fail(Code::kDeadlineExceeded, "the server (pid {}) has not ended after {} s: see '{}'",
                pid, kStopLimit.count(), LogFileOf(config));
  }
  if (!ended) return Fail(ended.error());
  fmt::print("server ended (pid {})\n", pid);
  return kSuccess;
}

Result<int> Serve(const Options& options) {
  if (options.sandboxes && !options.stop) {
    return Fail(Code::kInvalidArgument, "--sandboxes goes with --stop");
  }
  // The server, here or started from here, reads the same file.
  if (!options.config.empty()) ::setenv("WRENN_CONFIG", options.config.c_str(), 1);
  if (options.stop) return StopServer(options);
  return options.detach ? ServeInBackground(options) : ServeHere(options);
}

}  // namespace

void AddServe(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("serve", "Run the server, or stop it");
  auto options = std::make_shared<Options>();
  command->add_flag("-d,--detach", options->detach, "In the background; returns when it answers");
  command->add_flag("--stop", options->stop, "End the server of this root");
  command->add_flag("--sandboxes", options->sandboxes,
                    "With --stop: first stop the sandboxes that run; paused ones stay");
  command->add_option("--config", options->config, "Settings file; else /etc/wrenn/wrenn.toml")
      ->check(Unnamed(CLI::ExistingFile))
      ->transform([](const std::string& path) { return std::filesystem::absolute(path).string(); })
      ->type_name("FILE");
  command->add_option("--ready-fd", options->ready_fd)->group("");  // of --detach, for itself
  for (const server::Setting& setting : server::Settings()) {
    const std::string key(setting.key);
    command
        ->add_option_function<std::string>(
            std::string(setting.flag),
            [options, key](const std::string& value) { options->settings[key] = value; },
            fmt::format("{} [{}]", setting.help, setting.environment))
        ->type_name(std::string(setting.value))
        ->group("Settings");
  }
  command->footer(
      "Ctrl-C or SIGTERM ends it; sandboxes go on, and the next start takes them over.\n\n"
      "Examples:\n"
      "  wrenn serve --detach\n"
      "  wrenn serve --listen 127.0.0.1:9000 --max-sandboxes 20\n"
      "  wrenn serve --stop --sandboxes");
  command->callback(
      [&invocation, options] { invocation.run = [options] { return Serve(*options); }; });
}

}  // namespace wrenn::cli
