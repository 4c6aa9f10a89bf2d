#include "cli/server_process.h"

#include <fcntl.h>
#include <unistd.h>

#include "cli/local.h"
#include "cli/terminal.h"
#include "os/files.h"
#include "os/process.h"
#include "server/server.h"

namespace wrenn::cli {
namespace {

// Adopting many sandboxes takes its time.
constexpr std::chrono::seconds kStartLimit{180};
constexpr std::chrono::seconds kEndLimit{10};
constexpr std::chrono::seconds kHealthLimit{10};
constexpr std::string_view kReady = "ready ";
constexpr std::string_view kFailed = "failed ";

void Report(int fd, std::string_view word, const std::string& text) {
  if (fd < 0) return;
  const std::string line = std::string(word) + text;
  [[maybe_unused]] const Status written =
      WriteAll(fd, line, Deadline::After(std::chrono::seconds(5)));
  ::close(fd);
}

Result<std::string> ReadReport(int fd) {
  std::string report;
  char buffer[4096];
  const Deadline deadline = Deadline::After(kStartLimit);
  for (;;) {
    ASSIGN_OR_RETURN(const size_t got, ReadSome(fd, buffer, deadline));
    if (got == 0) return report;
    report.append(buffer, got);
  }
}

}  // namespace

void ReportReady(int ready_fd, const std::string& address) { Report(ready_fd, kReady, address); }

void ReportFailure(int ready_fd, const Error& error) { Report(ready_fd, kFailed, error.message); }

std::string LogFileOf(const server::ServerConfig& config) {
  return config.log_file.empty() ? config.paths.ServerLog() : config.log_file;
}

Result<StartedServer> StartServer(const server::ServerConfig& config,
                                  std::vector<std::string> arguments) {
  // A first start that cannot be leaves no root.
  if (!os::Exists(config.paths.PidFile())) RETURN_IF_ERROR(server::Listen(config));
  RETURN_IF_ERROR(config.paths.Prepare());
  ASSIGN_OR_RETURN(const std::string own, OwnProgram());
  const std::string log_path = LogFileOf(config);
  const UniqueFd log(::open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!log) return Fail(ErrnoError("cannot write the log '" + log_path + "'"));
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) < 0) return Fail(ErrnoError("cannot make a pipe"));
  const UniqueFd reading(pipe[0]);
  UniqueFd writing(pipe[1]);
  RETURN_IF_ERROR(SetNonBlocking(reading.get()));

  os::SpawnOptions options;
  // The log file is rotated by the server; its output goes there too, for what comes before and
  // what no logger writes.
  options.argv = {own, "serve", "--ready-fd", "3"};
  if (config.log_file.empty()) {
    options.argv.insert(options.argv.end(), {"--log-file", log_path});
  }
  options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
  options.stdout_fd = log.get();
  options.stderr_fd = log.get();
  options.pass_fds = {writing.get()};
  ASSIGN_OR_RETURN(os::Process server, os::Process::Spawn(options));
  writing.Reset();

  const auto report = ReadReport(reading.get());
  if (report && report->starts_with(kReady)) {
    return StartedServer{server.pid(), report->substr(kReady.size()), log_path};
  }
  if (!report) {
    [[maybe_unused]] const auto killed = server.Kill(Deadline::After(kEndLimit));
    return Fail(Code::kDeadlineExceeded, "the server did not start within {} s: see '{}'",
                kStartLimit.count(), log_path);
  }
  const auto exit = server.Wait(Deadline::After(kEndLimit));
  if (report->starts_with(kFailed)) {
    return Fail(Code::kFailedPrecondition, "the server did not start: {}",
                report->substr(kFailed.size()));
  }
  return Fail(Code::kInternal, "the server ended at its start ({}): see '{}'",
              exit ? exit->ToString() : "it goes on", log_path);
}

Status EnsureServer(const Api& api) {
  const auto connected = api.ConnectSocket();
  if (connected) {
    RETURN_IF_ERROR(api.Call("GET", "/health", nullptr, kHealthLimit));
    return {};
  }
  if (!api.IsLocal()) return Fail(connected.error());
  ASSIGN_OR_RETURN(server::ServerConfig config, server::LoadConfig({}));
  const std::string host = api.endpoint().host == "localhost" ? "127.0.0.1" : api.endpoint().host;
  const Endpoint listen{host, api.endpoint().port, {}};
  config.address = listen.host;
  config.port = listen.port;
  auto started = StartServer(config, {"--listen", listen.Address()});
  if (!started) {
    if (api.ConnectSocket()) return {};  // somebody else has started one meanwhile
    return Fail(std::move(started.error()));
  }
  PrintNote(fmt::format("started a server on {} (pid {}); 'wrenn serve --stop' ends it",
                        started->address, started->pid));
  return {};
}

}  // namespace wrenn::cli
