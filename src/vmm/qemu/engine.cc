#include "vmm/qemu/engine.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdio>
#include <mutex>

#include "net/user_network.h"
#include "os/command.h"
#include "os/files.h"
#include "os/process_info.h"
#include "vmm/qemu/kvm_probe.h"
#include "vmm/qemu/launch.h"
#include "vmm/qemu/tsc.h"

namespace wrenn::vmm {
namespace {

using std::chrono::seconds;

constexpr const char* kEmulationWarning =
    "guests are emulated: computing is 15 to 20 times slower, and emulation is not a security "
    "boundary";

struct Version {
  std::string text;  // "7.2.22"
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

class QemuEngine final : public Engine {
 public:
  QemuEngine(QemuOptions options, const std::string& version) : options_(std::move(options)) {
    info_.name = "qemu";
    info_.version = version;
    const Status network = net::CheckUserNetwork();
    info_.user_network = network.has_value();
    info_.user_network_explanation =
        network ? "by passt, to public IPv4 addresses" : network.error().message;
    facts_.binary = options_.binary;
    facts_.tsc_khz = HostTscKhz();
  }

  // Chooses the acceleration as far as it can be known without a guest.
  Status Prepare();

  const EngineInfo& info() const override {
    const EngineInfo* decided = decided_.load(std::memory_order_acquire);
    return decided ? *decided : info_;
  }

  Result<std::unique_ptr<Machine>> Boot(const MachineConfig& config, Deadline deadline) override;
  Result<std::unique_ptr<Machine>> Adopt(const MachineConfig& config,
                                         const json::object& record) override;
  Status Reap(const MachineConfig& config, const json::object& record) override;

 private:
  // Settles the question of KVM with this guest, once.
  bool UseKvm(const std::string& kernel, const std::string& initramfs, Deadline deadline);
  void Settle(bool kvm, const std::string& explanation);

  const QemuOptions options_;
  HostFacts facts_;
  EngineInfo info_;          // before the question of KVM is settled; never changed after Prepare()
  EngineInfo settled_info_;  // after; written once
  std::atomic<const EngineInfo*> decided_ = nullptr;
  std::mutex probe_mutex_;
};

void QemuEngine::Settle(bool kvm, const std::string& explanation) {
  settled_info_ = info_;
  settled_info_.acceleration = kvm ? "kvm" : "tcg";
  settled_info_.security_boundary = kvm;
  settled_info_.explanation =
      kvm ? explanation : fmt::format("{}; so {}", explanation, kEmulationWarning);
  decided_.store(&settled_info_, std::memory_order_release);
}

Status QemuEngine::Prepare() {
  info_.acceleration = "tcg";
  info_.explanation =
      "KVM looks usable, but no guest has run with it yet: the first one started here decides";
  if (options_.acceleration == "tcg") {
    Settle(false, "emulation is configured");
    return {};
  }
  if (options_.acceleration != "auto" && options_.acceleration != "kvm") {
    return Fail(Code::kInvalidArgument, "unknown acceleration '{}': it must be auto, kvm or tcg",
                options_.acceleration);
  }
  const KvmVerdict device = ProbeKvmDevice();
  if (options_.acceleration == "kvm") {
    if (!device.usable) return Fail(Code::kFailedPrecondition, "{}", device.explanation);
    Settle(true, "KVM is configured");
    return {};
  }
  if (!device.usable) {
    Settle(false, device.explanation);
  } else if (!options_.probe_kernel.empty()) {
    UseKvm(options_.probe_kernel, options_.probe_initramfs, Deadline::Never());
  } else if (const auto kept = LoadKvmVerdict(options_.probe_cache, KvmProbeKey(info_.version))) {
    Settle(kept->usable, kept->explanation);
  }
  return {};
}

bool QemuEngine::UseKvm(const std::string& kernel, const std::string& initramfs,
                        Deadline deadline) {
  std::lock_guard lock(probe_mutex_);
  if (!decided_.load(std::memory_order_acquire)) {
    constexpr seconds kLimit(60);
    const std::string key = KvmProbeKey(info_.version);
    auto verdict = LoadKvmVerdict(options_.probe_cache, key);
    if (!verdict) {
      verdict = ProbeKvmGuest(facts_, kernel, initramfs, options_.probe_directory,
                              Deadline::Earlier(deadline, Deadline::After(kLimit)));
      // Without a kept answer the next start asks again, no more.
      if (!options_.probe_cache.empty()) (void)SaveKvmVerdict(options_.probe_cache, key, *verdict);
    }
    Settle(verdict->usable, verdict->explanation);
  }
  return info().acceleration == "kvm";
}

Result<std::unique_ptr<Machine>> QemuEngine::Boot(const MachineConfig& config, Deadline deadline) {
  if (config.user_network) RETURN_IF_ERROR(net::CheckUserNetwork());
  HostFacts facts = facts_;
  facts.kvm = UseKvm(config.kernel, config.initramfs, deadline);
  ASSIGN_OR_RETURN(QemuParts parts, LaunchQemu(config, facts, deadline));
  return QemuMachine::Start(std::move(parts));
}

bool IsVmmOf(const std::string& id, const std::vector<std::string>& arguments) {
  const auto option = std::ranges::find(arguments, "-name");
  return option != arguments.end() && option + 1 != arguments.end() &&
         *(option + 1) == MachineName(id);
}

// The recorded VMM, if it still is that: the same pid, begun at the same time in the same boot, and
// started for this id.
Result<os::Process> FindVmm(const MachineConfig& config, const QemuRecord& record) {
  ASSIGN_OR_RETURN(const std::string boot_id, os::BootId());
  if (boot_id != record.boot_id) {
    return Fail(Code::kNotFound, "the host has been restarted since '{}' was started", config.id);
  }
  ASSIGN_OR_RETURN(os::Process process, os::Process::Open(record.vmm.pid, record.vmm.start_time));
  ASSIGN_OR_RETURN(const auto arguments, os::ReadCommandLine(record.vmm.pid));
  if (!IsVmmOf(config.id, arguments)) {
    return Fail(Code::kNotFound, "process {} is not the VMM of '{}'", record.vmm.pid, config.id);
  }
  return process;
}

// A VMM of this id that no record knows of, because its server was killed between starting it and
// writing that down.
Result<os::Process> FindUnrecordedVmm(const std::string& id) {
  ASSIGN_OR_RETURN(const auto names, os::ListDirectory("/proc"));
  for (const std::string& name : names) {
    pid_t pid = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (parsed.ec != std::errc() || parsed.ptr != name.data() + name.size()) continue;
    const auto stat = os::ReadProcessStat(pid);
    const auto arguments = os::ReadCommandLine(pid);
    if (!stat || !arguments) continue;  // it has ended meanwhile
    if (!IsVmmOf(id, *arguments)) continue;
    return os::Process::Open(pid, stat->start_time);
  }
  return Fail(Code::kNotFound, "no VMM of '{}' runs", id);
}

// The network's processes; they have no boot id or name of their own, so only with FindVmm()'s boot
// check.
std::vector<os::Process> FindHelpers(const QemuRecord& record) {
  std::vector<os::Process> helpers;
  if (os::BootId().value_or("") != record.boot_id) return helpers;
  for (const RecordedProcess& helper : record.helpers) {
    if (auto process = os::Process::Open(helper.pid, helper.start_time)) {
      helpers.push_back(std::move(*process));
    }
  }
  return helpers;
}

Result<std::unique_ptr<Machine>> QemuEngine::Adopt(const MachineConfig& config,
                                                   const json::object& object) {
  ASSIGN_OR_RETURN(const QemuRecord record, ParseRecord(object));
  auto process = FindVmm(config, record);
  if (!process) {
    if (process.error().code == Code::kNotFound) RETURN_IF_ERROR(Reap(config, object));
    return Fail(std::move(process.error()));
  }
  const Deadline deadline = Deadline::After(seconds(10));
  auto connections = ConnectVmm(config, deadline);
  if (!connections) {
    // Not kNotFound, whatever failed: it does run.
    return Fail(Error{Code::kUnavailable,
                      fmt::format("the VMM of '{}' runs but cannot be controlled", config.id),
                      connections.error().ToString()});
  }
  ASSIGN_OR_RETURN(auto machine,
                   QemuMachine::Start({config, std::move(*process), FindHelpers(record),
                                       std::move(*connections), record.kvm}));
  RETURN_IF_ERROR(machine->Thaw(deadline));
  return machine;
}

Status QemuEngine::Reap(const MachineConfig& config, const json::object& object) {
  const Deadline deadline = Deadline::After(seconds(10));
  QemuRecord record;  // without one: no helpers, which end by themselves when the VMM is gone
  if (!object.empty()) {
    ASSIGN_OR_RETURN(record, ParseRecord(object));
  }
  auto process = object.empty() ? FindUnrecordedVmm(config.id) : FindVmm(config, record);
  if (process) {
    RETURN_IF_ERROR(process->Kill(deadline));
  } else if (process.error().code != Code::kNotFound) {
    return Fail(std::move(process.error()));
  }
  for (os::Process& helper : FindHelpers(record)) {
    RETURN_IF_ERROR(helper.Kill(deadline));
  }
  RuntimeFiles(config.runtime_directory).Remove();
  return {};
}

}  // namespace

Result<std::unique_ptr<Engine>> MakeQemuEngine(QemuOptions options) {
  ASSIGN_OR_RETURN(const Version version, FindQemu(options.binary));
  auto engine = std::make_unique<QemuEngine>(std::move(options), version.text);
  RETURN_IF_ERROR(engine->Prepare());
  return engine;
}

}  // namespace wrenn::vmm
