#include "vmm/firecracker/launch.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <cmath>

#include "base/io.h"
#include "base/revert.h"
#include "os/elf_file.h"
#include "vmm/block_device.h"
#include "vmm/exit_text.h"
#include "vmm/firecracker/api_client.h"
#include "vmm/firecracker/runtime_files.h"
#include "vmm/output_pipe.h"

namespace wrenn::vmm {
namespace {

using std::chrono::milliseconds;

// Each call has a limit of its own below the whole start's: Firecracker answers in milliseconds, on
// a host that is itself emulated in seconds.
constexpr std::chrono::seconds kCallLimit{30};
// To see whether it listens: it is ready within tens of milliseconds and tells nobody.
constexpr int kLookMs = 2;

// Takes the times of a start's steps, one behind the other.
class Steps {
 public:
  void Mark(std::string_view name) {
    const auto now = std::chrono::steady_clock::now();
    const double ms = std::chrono::duration<double, std::milli>(now - last_).count();
    times_[name] = std::round(ms * 10) / 10;
    last_ = now;
  }
  const json::object& times() const { return times_; }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
  json::object times_;
};

// The number of a disk that is a block device; nothing for a file, which is given to the VMM's
// user.
Result<std::optional<dev_t>> PrepareDisk(const MachineConfig& config) {
  ASSIGN_OR_RETURN(const std::optional<dev_t> device, BlockDeviceNumber(config.disk));
  if (!device && ::chown(config.disk.c_str(), config.user, config.user) < 0) {
    return Fail(ErrnoError(fmt::format("cannot give '{}' to its sandbox's user", config.disk)));
  }
  return device;
}

Result<os::Process> Spawn(const MachineConfig& config, const FirecrackerFacts& facts,
                          const FirecrackerEnds& ends) {
  ASSIGN_OR_RETURN(const std::optional<dev_t> disk, PrepareDisk(config));
  const UniqueFd net_namespace(::open(config.net_namespace.c_str(), O_RDONLY | O_CLOEXEC));
  if (!net_namespace) {
    return Fail(ErrnoError(fmt::format("cannot open the network namespace of '{}'", config.id)));
  }
  os::SpawnOptions options;
  options.argv = FirecrackerArguments(config);
  options.environment.emplace();
  options.stdout_fd = ends.console.get();
  options.stderr_fd = ends.messages.get();
  // It is only there so that the pipe does not break when no server reads.
  options.pass_fds = {ends.metrics.get()};
  options.umask = 077;
  options.limits = {{RLIMIT_NOFILE, 1024}};
  options.cgroup_fd = config.cgroup_fd;
  options.die_with_parent = config.passing;
  options.jail = FirecrackerJail(config, facts, disk, net_namespace.get());
  auto process = os::Process::Spawn(options);
  if (process || process.error().code != Code::kNotFound) return process;
  return Fail(Error{Code::kFailedPrecondition,
                    "what --firecracker names does not start: it must be one static program, as "
                    "Firecracker's releases are",
                    process.error().ToString()});
}

// Waits until the API answers.
Status WaitForApi(const ApiClient& api, const os::Process& process, Deadline deadline) {
  for (;;) {
    const auto version = api.Version(Deadline::Earlier(deadline, Deadline::After(kCallLimit)));
    if (version || version.error().code != Code::kUnavailable) {
      return version ? Status() : Fail(version.error());
    }
    pollfd ended{process.pidfd(), POLLIN, 0};
    if (::poll(&ended, 1, kLookMs) != 0) {
      return Fail(Code::kUnavailable, "Firecracker ended at its start");
    }
    if (deadline.HasPassed()) {
      return Fail(Code::kDeadlineExceeded, "Firecracker's API did not answer in time");
    }
  }
}

Status SetUp(const MachineConfig& config, const FirecrackerFacts& facts, const os::Process& process,
             Deadline deadline, Steps& steps) {
  const ApiClient api(FirecrackerFiles(config.runtime_directory).Api());
  RETURN_IF_ERROR(WaitForApi(api, process, deadline));
  steps.Mark("ready");
  ASSIGN_OR_RETURN(
      const auto requests,
      SetUpRequests(FirecrackerConfig(config), FirecrackerOptions(config, facts), facts.version));
  const auto call = [&](const ApiRequest& request) -> Status {
    const auto done = api.Call(request, Deadline::Earlier(deadline, Deadline::After(kCallLimit)));
    if (done) return {};
    if (done.error().code != Code::kDeadlineExceeded) return Fail(done.error());
    // Not the guest's: it does not run yet.
    return Fail(
        Error{Code::kInternal,
              fmt::format("Firecracker did not answer {} {} in time", request.method, request.path),
              done.error().ToString()});
  };
  for (const ApiRequest& request : requests) RETURN_IF_ERROR(call(request));
  steps.Mark("setup");
  RETURN_IF_ERROR(call(StartInstance()));
  steps.Mark("start");
  return {};
}

// A start that failed: ends the process, and says so with Firecracker's own words.
Error LaunchError(Error error, FirecrackerParts& parts) {
  // Whoever ends by itself is given the time to say why.
  const bool ending = error.code == Code::kUnavailable;
  auto status = parts.process.Wait(Deadline::After(ending ? milliseconds(2000) : milliseconds(0)));
  const bool ended = status.has_value();
  if (!ended) status = parts.process.Kill(Deadline::After(std::chrono::seconds(5)));
  parts.outputs.console.ReadRest();
  parts.outputs.messages.ReadRest();
  const std::string words = parts.outputs.messages.tail() + parts.outputs.console.tail();
  if (ended) {
    const std::string last = LastLine(words);
    error.code = Code::kInternal;
    error.message = fmt::format("the VMM did not start: {}{}{}", status->ToString(),
                                last.empty() ? "" : ": ", Printable(last));
  }
  error.detail += words;
  return error;
}

}  // namespace

Result<FirecrackerOutputs> OpenOutputs(const MachineConfig& config) {
  const FirecrackerFiles files(config.runtime_directory);
  const auto open = [&config](const std::string& pipe, const char* log) -> Result<CapturedOutput> {
    ASSIGN_OR_RETURN(UniqueFd source, OpenOutputPipe(pipe));
    ASSIGN_OR_RETURN(BoundedLog kept, BoundedLog::Open(config.directory + log));
    return CapturedOutput(std::move(source), std::move(kept));
  };
  ASSIGN_OR_RETURN(CapturedOutput console, open(files.Console(), "/console.log"));
  ASSIGN_OR_RETURN(CapturedOutput messages, open(files.Messages(), "/vmm.log"));
  ASSIGN_OR_RETURN(CapturedOutput metrics, open(files.Metrics(), "/metrics.log"));
  return FirecrackerOutputs{std::move(console), std::move(messages), std::move(metrics)};
}

Result<FirecrackerParts> LaunchFirecracker(const MachineConfig& config,
                                           const FirecrackerFacts& facts, Deadline deadline) {
  Steps steps;
  RETURN_IF_ERROR(Validate(FirecrackerConfig(config)));
  if (::access(facts.binary.c_str(), X_OK) < 0) {
    return Fail(Code::kFailedPrecondition,
                "Firecracker has vanished since the server started: install it again, or name "
                "another with --firecracker");
  }
  if (!os::IsElfFile(config.kernel)) {
    return Fail(Code::kFailedPrecondition,
                "the template's kernel is damaged, it is no ELF file: build the template again "
                "with 'wrenn template build'");
  }
  const FirecrackerFiles files(config.runtime_directory);
  Revert revert;
  revert.Add([&] { files.Remove(); });
  ASSIGN_OR_RETURN(FirecrackerEnds ends, MakeFirecrackerFiles(files, config.user));
  ASSIGN_OR_RETURN(FirecrackerOutputs outputs, OpenOutputs(config));
  ASSIGN_OR_RETURN(os::Process process, Spawn(config, facts, ends));
  // From here on these ends are the VMM's alone: when it ends, ours notice.
  ends = FirecrackerEnds();
  steps.Mark("spawn");
  FirecrackerParts parts{config, std::move(process), std::move(outputs)};
  if (Status up = SetUp(config, facts, parts.process, deadline, steps); !up) {
    return Fail(LaunchError(std::move(up.error()), parts));
  }
  parts.start_ms = steps.times();
  revert.Disarm();
  return parts;
}

}  // namespace wrenn::vmm
