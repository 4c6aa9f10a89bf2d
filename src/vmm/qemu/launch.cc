#include "vmm/qemu/launch.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/revert.h"
#include "net/slot_plan.h"
#include "net/user_network.h"
#include "os/net_namespace.h"
#include "os/tap.h"
#include "vmm/block_device.h"
#include "vmm/exit_text.h"
#include "vmm/output_pipe.h"
#include "wire/sockets.h"

namespace wrenn::vmm {
namespace {

using std::chrono::seconds;

// The server should be the last that the kernel ends for want of memory.
void PreferForOutOfMemory(pid_t pid) {
  UniqueFd fd(::open(fmt::format("/proc/{}/oom_score_adj", pid).c_str(), O_WRONLY | O_CLOEXEC));
  if (fd) (void)WriteAll(fd.get(), "300", Deadline::Never());
}

Result<os::Process> SpawnQemu(const MachineConfig& config, const HostFacts& facts, Start start,
                              const VmmEnds& ends, int network) {
  os::SpawnOptions options;
  options.argv = QemuCommandLine(config, facts, start);
  options.directory = config.directory;
  options.stderr_fd = ends.stderr_pipe.get();
  options.pass_fds = {ends.qmp.get(), ends.console.get(), ends.agent[0].get(), ends.agent[1].get()};
  if (network >= 0) options.pass_fds.push_back(network);
  options.no_new_privileges = true;
  options.die_with_parent = config.passing;
  // QEMU asks for them for its translations: 2 MiB each, of which an idle guest uses a part.
  options.no_huge_pages = !facts.kvm;
  options.cgroup_fd = config.cgroup_fd;
  options.limits = {{RLIMIT_NOFILE, 1024}};
  if (config.user != 0) {
    if (!facts.files) return Fail(Code::kFailedPrecondition, "QEMU cannot be jailed here");
    RETURN_IF_ERROR(GiveFiles(config));
    std::optional<dev_t> disk;
    if (!config.disk.empty()) {
      ASSIGN_OR_RETURN(disk, BlockDeviceNumber(config.disk));
    }
    options.jail = QemuJail(config, *facts.files, facts.kvm, disk);
    options.environment = QemuEnvironment(config, *facts.files);
  } else {
    options.limits.emplace_back(RLIMIT_CORE, 0);  // a jail has its own
  }
  options.umask = 077;
  ASSIGN_OR_RETURN(os::Process process, os::Process::Spawn(options));
  PreferForOutOfMemory(process.pid());
  return process;
}

// The VMM's end of the machine's network, or nothing; with a user-mode network also its processes.
Result<UniqueFd> OpenNetwork(const MachineConfig& config, int stderr_fd,
                             std::vector<os::Process>& helpers) {
  if (!config.network) return UniqueFd();
  if (config.net_namespace.empty()) {
    ASSIGN_OR_RETURN(net::UserNetwork started, net::StartUserNetwork(stderr_fd));
    helpers = std::move(started.processes);
    return std::move(started.socket);
  }
  ASSIGN_OR_RETURN(const os::NetNamespace slot, os::NetNamespace::Open(config.net_namespace));
  UniqueFd tap;
  RETURN_IF_ERROR(slot.Run([&tap]() -> Status {
    ASSIGN_OR_RETURN(tap, os::OpenTap(net::kTapName));
    return {};
  }));
  return tap;
}

// A start that failed: says so with the VMM's own words. `stderr_pipe` is the reading end.
Error LaunchError(Error error, os::Process& process, int stderr_pipe) {
  // A closed control connection means that it is ending; otherwise it is killed here.
  const bool ending = error.code == Code::kUnavailable;
  auto status = process.Wait(Deadline::After(ending ? seconds(5) : seconds(0)));
  const bool ended = status.has_value();
  if (!ended) status = process.Kill(Deadline::After(seconds(5)));
  const std::string words = ReadAvailable(stderr_pipe, 16384);
  if (ended) {
    const std::string last = LastLine(words);
    error.code = Code::kInternal;
    error.message = fmt::format("the VMM did not start: {}{}{}", status->ToString(),
                                last.empty() ? "" : ": ", last);
  }
  error.detail = words;
  return error;
}

// Whether the network's processes have survived their own start, which is over before a VMM
// answers: a guest with a dead network would be a sandbox that is not what it says.
Status CheckHelpers(std::vector<os::Process>& helpers, int stderr_pipe) {
  for (os::Process& helper : helpers) {
    const auto ended = helper.Wait(Deadline::After(seconds(0)));
    if (!ended) continue;
    const std::string words = ReadAvailable(stderr_pipe, 16384);
    return Fail(Error{Code::kFailedPrecondition,
                      fmt::format("the user-mode network did not start: {}", LastLine(words)),
                      fmt::format("{}\n{}", ended->ToString(), words)});
  }
  return {};
}

// QEMU would make a base that is missing, and stretch an empty one: RAM of zeros without a word.
Status CheckBase(const MachineConfig& config) {
  if (config.memory.empty()) return {};
  struct stat info{};
  const bool there = ::stat(config.memory.c_str(), &info) == 0;
  if (there && S_ISREG(info.st_mode) && info.st_size == int64_t{config.memory_mb} << 20) return {};
  return Fail(Error{Code::kDataLoss,
                    fmt::format("the file that the memory of '{}' begins with is {}", config.id,
                                there ? "of another size" : "missing"),
                    config.memory});
}

}  // namespace

Result<VmmConnections> ConnectVmm(const MachineConfig& config, Deadline deadline) {
  const RuntimeFiles files(config.runtime_directory);
  ASSIGN_OR_RETURN(BoundedLog console_log, BoundedLog::Open(config.directory + "/console.log"));
  ASSIGN_OR_RETURN(BoundedLog vmm_log, BoundedLog::Open(config.directory + "/vmm.log"));
  ASSIGN_OR_RETURN(UniqueFd stderr_pipe, OpenOutputPipe(files.Stderr()));
  ASSIGN_OR_RETURN(UniqueFd console, wire::ConnectUnix(files.Console(), deadline));
  ASSIGN_OR_RETURN(UniqueFd control, wire::ConnectUnix(files.Qmp(), deadline));
  ASSIGN_OR_RETURN(auto qmp, QmpClient::Connect(std::move(control), deadline));
  return VmmConnections{std::move(qmp),
                        {std::move(console), std::move(console_log)},
                        {std::move(stderr_pipe), std::move(vmm_log)}};
}

Result<QemuParts> LaunchQemu(const MachineConfig& config, const HostFacts& facts, Deadline deadline,
                             Start start) {
  RETURN_IF_ERROR(CheckBase(config));
  const RuntimeFiles files(config.runtime_directory);
  std::vector<os::Process> helpers;  // outlives `revert`, which ends them
  Revert revert;
  revert.Add([&] { files.Remove(); });
  ASSIGN_OR_RETURN(VmmEnds ends, MakeRuntimeFiles(files));
  ASSIGN_OR_RETURN(const UniqueFd stderr_pipe, OpenOutputPipe(files.Stderr()));

  ASSIGN_OR_RETURN(UniqueFd network, OpenNetwork(config, ends.stderr_pipe.get(), helpers));
  revert.Add([&] {
    for (os::Process& helper : helpers) (void)helper.Kill(Deadline::After(seconds(5)));
  });

  ASSIGN_OR_RETURN(os::Process process, SpawnQemu(config, facts, start, ends, network.get()));
  // From here on these ends are the VMM's alone: when it ends, ours of the connections notice.
  ends = VmmEnds();
  network.Reset();
  auto connections = ConnectVmm(config, deadline);
  if (!connections) {
    return Fail(LaunchError(std::move(connections.error()), process, stderr_pipe.get()));
  }
  if (auto alive = CheckHelpers(helpers, stderr_pipe.get()); !alive) {
    (void)process.Kill(Deadline::After(seconds(5)));
    return Fail(std::move(alive.error()));
  }
  QemuParts parts{config, std::move(process), std::move(helpers), std::move(*connections),
                  facts.kvm};
  revert.Disarm();
  return parts;
}

}  // namespace wrenn::vmm
