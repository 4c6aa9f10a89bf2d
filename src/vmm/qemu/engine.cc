#include "vmm/qemu/engine.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <mutex>

#include "net/user_network.h"
#include "os/command.h"
#include "os/files.h"
#include "os/process_info.h"
#include "vmm/qemu/fingerprint.h"
#include "vmm/qemu/kvm_probe.h"
#include "vmm/qemu/launch.h"
#include "vmm/tsc.h"

namespace wrenn::vmm {
namespace {

using std::chrono::seconds;

constexpr const char* kEmulationWarning =
    "guests are emulated: computing is 15 to 20 times slower, and emulation is not a security "
    "boundary";

struct Version {
  std::string build;  // the whole line
  std::string text;   // "7.2.22"
  int major = 0;
  int minor = 0;
};

// From the first line of --version: "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)".
Result<Version> ParseVersion(const std::string& output) {
  constexpr std::string_view kBefore = "version ";
  const size_t begin = output.find(kBefore);
  Version version;
  if (begin != std::string::npos) {
    const std::string rest = output.substr(begin + kBefore.size());
    version.build = output.substr(0, output.find('\n'));
    version.text = rest.substr(0, rest.find_first_not_of("0123456789."));
  }
  if (std::sscanf(version.text.c_str(), "%d.%d", &version.major, &version.minor) != 2) {
    return Fail(Code::kFailedPrecondition, "QEMU does not tell its version: '{}'",
                output.substr(0, output.find('\n')));
  }
  return version;
}

Result<Version> FindQemu(const std::string& binary) {
  if (!os::FindProgram(binary)) {
    return Fail(Code::kFailedPrecondition,
                "'{}' is not installed: install the Debian package 'qemu-system-x86'", binary);
  }
  os::CommandOptions command;
  command.argv = {binary, "--version"};
  ASSIGN_OR_RETURN(const std::string output,
                   os::RunCommandOrFail(command, Deadline::After(seconds(30))));
  ASSIGN_OR_RETURN(Version version, ParseVersion(output));
  if (std::pair(version.major, version.minor) < std::pair(7, 2)) {
    return Fail(Code::kFailedPrecondition, "QEMU {} is too old: 7.2 or later is needed",
                version.text);
  }
  return version;
}

// Its own 20 MiB, 32 of translated code under emulation and as many of a large qcow2 disk's tables,
// and files that it has just written.
constexpr uint64_t kVmmMemory = 256 << 20;
constexpr const char* kJailProbe = "jail";  // its id, and of its folders, "jail.XXXXXX"

Status CheckNetwork(const MachineConfig& config) {
  if (!config.network || !config.net_namespace.empty()) return {};
  return net::CheckUserNetwork();
}

class QemuEngine final : public Engine {
 public:
  QemuEngine(QemuOptions options, const Version& version)
      : options_(std::move(options)), build_(version.build) {
    info_.name = "qemu";
    info_.version = version.text;
    const Status network = net::CheckUserNetwork();
    info_.user_network = network.has_value();
    info_.user_network_explanation =
        network ? "by passt, to public IPv4 addresses" : network.error().message;
    info_.takes_slot = true;
    info_.vmm_memory_bytes = kVmmMemory;
    facts_.binary = options_.binary;
    facts_.tsc_khz = HostTscKhz();
    facts_.readonly_memory = std::pair(version.major, version.minor) >= std::pair(8, 2);
  }

  // Chooses the acceleration as far as it can be known without a guest, and whether VMMs are
  // jailed.
  Status Prepare();

  const EngineInfo& info() const override {
    const EngineInfo* decided = decided_.load(std::memory_order_acquire);
    return decided ? *decided : info_;
  }

  Status Settle(const std::string& kernel, const std::string& initramfs,
                Deadline deadline) override {
    return SettleKvm(kernel, initramfs, deadline);
  }
  Result<std::unique_ptr<Machine>> Boot(const MachineConfig& config, Deadline deadline) override;
  Result<std::unique_ptr<Machine>> Restore(const MachineConfig& config, const std::string& state,
                                           const FillMemory& fill, Deadline deadline) override;
  json::object Fingerprint(const MachineConfig& config) override;
  Status CheckFingerprint(const MachineConfig& config, const json::object& kept) override;
  Result<std::unique_ptr<Machine>> Adopt(const MachineConfig& config,
                                         const json::object& record) override;
  Status Reap(const MachineConfig& config, const json::object& record) override;

 private:
  // Settles the question of KVM with this guest, once. kUnavailable when there is no answer, for a
  // reason that may pass: then the next one asks again.
  Status SettleKvm(const std::string& kernel, const std::string& initramfs, Deadline deadline);
  Status PrepareAcceleration();
  Status PrepareJail();
  Status TryJail();
  void Decide(bool kvm, const std::string& explanation);

  // What is known of the host, once the question of KVM is settled.
  HostFacts Facts() const;
  // A VMM of the build that fingerprints name.
  Result<QemuParts> Launch(const MachineConfig& config, Deadline deadline, Start start) const;

  const QemuOptions options_;
  const std::string build_;
  HostFacts facts_;          // but for `kvm`
  EngineInfo info_;          // before the question of KVM is settled; never changed after Prepare()
  EngineInfo settled_info_;  // after; written once
  std::atomic<const EngineInfo*> decided_ = nullptr;
  std::mutex probe_mutex_;
};

void QemuEngine::Decide(bool kvm, const std::string& explanation) {
  settled_info_ = info_;
  settled_info_.acceleration = kvm ? "kvm" : "tcg";
  settled_info_.security_boundary = kvm;
  settled_info_.explanation =
      kvm ? explanation : fmt::format("{}; so {}", explanation, kEmulationWarning);
  decided_.store(&settled_info_, std::memory_order_release);
}

Status QemuEngine::Prepare() {
  RETURN_IF_ERROR(PrepareJail());
  return PrepareAcceleration();
}

Status QemuEngine::PrepareJail() {
  if (options_.jail == "off") {
    info_.jail_explanation = "jails are switched off";
    return {};
  }
  const Status jailed = TryJail();
  info_.jailed = jailed.has_value();
  if (jailed) return {};
  facts_.files.reset();
  if (options_.jail == "on") {
    return Fail(jailed.error().WithContext("QEMU shall be jailed and cannot be"));
  }
  info_.jail_explanation = jailed.error().ToString();
  return {};
}

// Starts one that waits for a state and never gets one: what it needs, it has loaded by then.
Status QemuEngine::TryJail() {
  constexpr seconds kLimit(30);
  constexpr uint32_t kNobody = 65534;
  const Deadline deadline = Deadline::After(kLimit);
  RETURN_IF_ERROR(os::CheckJail());
  ASSIGN_OR_RETURN(const auto folder,
                   os::TemporaryDirectory::Make(options_.probe_directory, kJailProbe));
  ASSIGN_OR_RETURN(
      QemuFiles files,
      FindQemuFiles(options_.binary, facts_.readonly_memory,
                    options_.probe_directory.empty() ? folder.path() : options_.probe_directory,
                    deadline));
  facts_.files = std::make_shared<const QemuFiles>(std::move(files));
  MachineConfig config;
  config.id = kJailProbe;
  config.directory = folder.path();
  config.runtime_directory = folder.path();
  config.memory_mb = 64;
  config.memory = folder.path() + "/memory";
  config.user = kNobody;
  config.passing = true;
  const UniqueFd memory(::open(config.memory.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (!memory || ::ftruncate(memory.get(), off_t{config.memory_mb} << 20) < 0) {
    return Fail(ErrnoError("cannot make the memory of a machine to try a jail"));
  }
  HostFacts facts = facts_;
  facts.kvm = options_.acceleration == "kvm";
  ASSIGN_OR_RETURN(QemuParts parts, LaunchQemu(config, facts, deadline, Start::kRestore));
  RETURN_IF_ERROR(parts.process.Kill(deadline));
  return {};
}

Status QemuEngine::PrepareAcceleration() {
  info_.acceleration = "tcg";
  info_.explanation =
      "KVM looks usable, but no guest has run with it yet: the first one started here decides";
  if (options_.acceleration == "tcg") {
    Decide(false, "emulation is configured");
    return {};
  }
  if (options_.acceleration != "auto" && options_.acceleration != "kvm") {
    return Fail(Code::kInvalidArgument, "unknown acceleration '{}': it must be auto, kvm or tcg",
                options_.acceleration);
  }
  const KvmVerdict device = ProbeKvmDevice();
  if (options_.acceleration == "kvm") {
    if (!device.usable) return Fail(Code::kFailedPrecondition, "{}", device.explanation);
    Decide(true, "KVM is configured");
    return {};
  }
  if (!device.usable) {
    Decide(false, device.explanation);
  } else if (!options_.probe_kernel.empty()) {
    RETURN_IF_ERROR(SettleKvm(options_.probe_kernel, options_.probe_initramfs, Deadline::Never()));
  } else if (const auto kept = LoadKvmVerdict(options_.probe_cache, KvmProbeKey(info_.version))) {
    Decide(kept->usable, kept->explanation);
  }
  return {};
}

Status QemuEngine::SettleKvm(const std::string& kernel, const std::string& initramfs,
                             Deadline deadline) {
  std::lock_guard lock(probe_mutex_);
  if (decided_.load(std::memory_order_acquire)) return {};
  constexpr seconds kLimit(60);
  const std::string key = KvmProbeKey(info_.version);
  auto verdict = LoadKvmVerdict(options_.probe_cache, key);
  if (!verdict) {
    verdict = ProbeKvmGuest(facts_, kernel, initramfs, options_.probe_directory,
                            Deadline::Earlier(deadline, Deadline::After(kLimit)));
    if (!verdict) {
      return Fail(Error{Code::kUnavailable,
                        "it could not be found out whether KVM runs guests here (try again): " +
                            verdict.error().message,
                        verdict.error().detail});
    }
    if (!options_.probe_cache.empty()) {
      if (!verdict->usable) {
        verdict->explanation += fmt::format(
            " (kept until the host restarts: to have it tried again remove '{}' and restart the "
            "server)",
            options_.probe_cache.substr(options_.probe_cache.rfind('/') + 1));
      }
      // Without a kept answer the next start asks again, no more.
      (void)SaveKvmVerdict(options_.probe_cache, key, *verdict);
    }
  }
  Decide(verdict->usable, verdict->explanation);
  return {};
}

// A machine that could not be made what it should be ends.
Status EndUnless(Status done, QemuMachine& machine) {
  if (!done) (void)machine.Kill(Deadline::After(seconds(10)));
  return done;
}

Result<std::unique_ptr<Machine>> QemuEngine::Boot(const MachineConfig& config, Deadline deadline) {
  RETURN_IF_ERROR(CheckNetwork(config));
  RETURN_IF_ERROR(SettleKvm(config.kernel, config.initramfs, deadline));
  ASSIGN_OR_RETURN(QemuParts parts, Launch(config, deadline, Start::kBoot));
  ASSIGN_OR_RETURN(auto machine, QemuMachine::Start(std::move(parts)));
  RETURN_IF_ERROR(EndUnless(machine->LimitDisk(config.disk_rate, deadline), *machine));
  return machine;
}

HostFacts QemuEngine::Facts() const {
  HostFacts facts = facts_;
  facts.kvm = info().acceleration == "kvm";
  return facts;
}

Result<QemuParts> QemuEngine::Launch(const MachineConfig& config, Deadline deadline,
                                     Start start) const {
  ASSIGN_OR_RETURN(QemuParts parts, LaunchQemu(config, Facts(), deadline, start));
  if (parts.vmm.qmp->build() == build_) return parts;
  const std::string build = parts.vmm.qmp->build();
  (void)parts.process.Kill(Deadline::After(seconds(10)));
  return Fail(Error{Code::kFailedPrecondition,
                    "QEMU was replaced after the server's start: restart the server",
                    fmt::format("'{}' in place of '{}'", build, build_)});
}

Result<std::unique_ptr<Machine>> QemuEngine::Restore(const MachineConfig& config,
                                                     const std::string& state,
                                                     const FillMemory& fill, Deadline deadline) {
  RETURN_IF_ERROR(CheckNetwork(config));
  ASSIGN_OR_RETURN(QemuParts parts, Launch(config, deadline, Start::kRestore));
  ASSIGN_OR_RETURN(auto machine, QemuMachine::Start(std::move(parts)));
  const auto load = [&]() -> Status {
    RETURN_IF_ERROR(machine->LimitDisk(config.disk_rate, deadline));
    RETURN_IF_ERROR(machine->channel()->Open(deadline));
    ASSIGN_OR_RETURN(const memory::ProcessMemory memory, machine->Memory());
    RETURN_IF_ERROR(fill(memory));
    return machine->LoadState(state, deadline);
  };
  RETURN_IF_ERROR(EndUnless(load(), *machine));
  return machine;
}

json::object QemuEngine::Fingerprint(const MachineConfig& config) {
  return QemuFingerprint(config, Facts(), build_);
}

Status QemuEngine::CheckFingerprint(const MachineConfig& config, const json::object& kept) {
  return CompareFingerprints(kept, Fingerprint(config));
}

bool IsVmmOf(const std::string& id, const std::vector<std::string>& arguments) {
  const auto option = std::ranges::find(arguments, "-name");
  return option != arguments.end() && option + 1 != arguments.end() &&
         *(option + 1) == MachineName(id);
}

IsVmm VmmOf(const std::string& id) {
  return [id](const std::vector<std::string>& arguments) { return IsVmmOf(id, arguments); };
}

// Whether the process was started in that folder, as SpawnQemu() does, which may be gone meanwhile.
// kPermissionDenied for other users' processes.
Result<bool> RunsIn(pid_t pid, const std::string& directory) {
  const std::string link = fmt::format("/proc/{}/cwd", pid);
  char text[PATH_MAX];
  const ssize_t length = ::readlink(link.c_str(), text, sizeof text);
  struct stat there{};
  if (length < 0 || ::stat(link.c_str(), &there) < 0) {
    return Fail(ErrnoError(fmt::format("cannot see where process {} runs", pid)));
  }
  if (std::string_view(text, static_cast<size_t>(length)).ends_with(" (deleted)")) return true;
  struct stat wanted{};
  return ::stat(directory.c_str(), &wanted) == 0 && there.st_dev == wanted.st_dev &&
         there.st_ino == wanted.st_ino;
}

// Another server's may have the same name.
Result<os::Process> FindUnrecordedVmm(const MachineConfig& config) {
  return FindUnrecorded(VmmOf(config.id),
                        [&config](pid_t pid) { return RunsIn(pid, config.directory); });
}

// The network's processes; they have no boot id or name of their own, so only after a check of
// the boot.
Result<std::vector<os::Process>> FindHelpers(const QemuRecord& record) {
  std::vector<os::Process> helpers;
  ASSIGN_OR_RETURN(const std::string boot_id, os::BootId());
  if (boot_id != record.boot_id) return helpers;
  for (const RecordedProcess& helper : record.helpers) {
    auto process = os::Process::Open(helper.pid, helper.start_time);
    if (process) {
      helpers.push_back(std::move(*process));
    } else if (process.error().code != Code::kNotFound) {
      return Fail(std::move(process.error()));
    }
  }
  return helpers;
}

Result<std::unique_ptr<Machine>> QemuEngine::Adopt(const MachineConfig& config,
                                                   const json::object& object) {
  ASSIGN_OR_RETURN(const QemuRecord record, ParseRecord(object));
  auto process = FindRecorded(record.vmm, record.boot_id, VmmOf(config.id));
  if (!process) {
    if (process.error().code == Code::kNotFound) RETURN_IF_ERROR(Reap(config, object));
    return Fail(std::move(process.error()));
  }
  // Not kNotFound, whatever failed: it does run.
  const auto uncontrolled = [&config](const Error& why) {
    return Error{Code::kUnavailable,
                 fmt::format("the VMM of '{}' runs but cannot be controlled", config.id),
                 why.ToString()};
  };
  const Deadline deadline = Deadline::After(seconds(10));
  auto connections = ConnectVmm(config, deadline);
  if (!connections) return Fail(uncontrolled(connections.error()));
  auto helpers = FindHelpers(record);
  if (!helpers) return Fail(uncontrolled(helpers.error()));
  const bool network_ended = helpers->size() < record.helpers.size();
  const bool foreign = connections->qmp->build() != build_;
  ASSIGN_OR_RETURN(auto machine, QemuMachine::Start({config, std::move(*process),
                                                     std::move(*helpers), std::move(*connections),
                                                     record.kvm, network_ended, foreign}));
  if (!network_ended) RETURN_IF_ERROR(machine->Thaw(deadline));  // else it is being ended
  return machine;
}

Status QemuEngine::Reap(const MachineConfig& config, const json::object& object) {
  const Deadline deadline = Deadline::After(seconds(10));
  QemuRecord record;  // without one: no helpers, which end by themselves when the VMM is gone
  if (!object.empty()) {
    ASSIGN_OR_RETURN(record, ParseRecord(object));
  }
  auto process = object.empty() ? FindUnrecordedVmm(config)
                                : FindRecorded(record.vmm, record.boot_id, VmmOf(config.id));
  if (process) {
    RETURN_IF_ERROR(process->Kill(deadline));
  } else if (process.error().code != Code::kNotFound) {
    return Fail(std::move(process.error()));
  }
  ASSIGN_OR_RETURN(auto helpers, FindHelpers(record));
  for (os::Process& helper : helpers) {
    RETURN_IF_ERROR(helper.Kill(deadline));
  }
  RuntimeFiles(config.runtime_directory).Remove();
  return {};
}

}  // namespace

Result<std::unique_ptr<Engine>> MakeQemuEngine(QemuOptions options) {
  ASSIGN_OR_RETURN(const Version version, FindQemu(options.binary));
  auto engine = std::make_unique<QemuEngine>(std::move(options), version);
  RETURN_IF_ERROR(engine->Prepare());
  return engine;
}

}  // namespace wrenn::vmm
