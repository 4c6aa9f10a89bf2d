#include "vmm/firecracker/engine.h"

#include <algorithm>

#include "os/command.h"
#include "vmm/firecracker/launch.h"
#include "vmm/firecracker/runtime_files.h"
#include "vmm/kvm_device.h"
#include "vmm/tsc.h"

namespace wrenn::vmm {
namespace {

using std::chrono::seconds;

constexpr seconds kReapLimit{10};
constexpr uint64_t kVmmMemory = 128 << 20;

Result<std::string> FindFirecracker(const std::string& binary) {
  if (auto found = os::FindProgram(binary)) return found;
  if (auto found = os::FindProgram(WithDefaults({}).firecracker_bin);
      found && binary.find('/') == std::string::npos)
    return found;
  return Fail(Code::kFailedPrecondition,
              "'{}' is not installed: put the program of a Firecracker release ({} or later) into "
              "$PATH, or name it with --firecracker",
              binary, kOldestFirecracker.ToString());
}

// From the first line of --version: "Firecracker v1.12.1".
Result<FirecrackerVersion> AskVersion(const std::string& binary) {
  os::CommandOptions command;
  command.argv = {binary, "--version"};
  const auto output = os::RunCommandOrFail(command, Deadline::After(seconds(30)));
  if (!output) {
    return Fail(Error{Code::kFailedPrecondition,
                      fmt::format("'{}' is no Firecracker: {}; name the right program with "
                                  "--firecracker",
                                  binary, output.error().message),
                      output.error().detail});
  }
  constexpr std::string_view kBefore = "Firecracker v";
  const size_t begin = output->find(kBefore);
  if (begin == std::string::npos) {
    return Fail(Code::kFailedPrecondition,
                "'{}' does not say that it is Firecracker, but '{}': name the right program with "
                "--firecracker",
                binary, output->substr(0, output->find('\n')).substr(0, 100));
  }
  return ParseFirecrackerVersion(output->substr(begin + kBefore.size()));
}

class FirecrackerEngine final : public Engine {
 public:
  explicit FirecrackerEngine(FirecrackerFacts facts) : facts_(std::move(facts)) {
    info_.name = "firecracker";
    info_.version = facts_.version.ToString();
    info_.acceleration = "kvm";
    info_.explanation = "Firecracker is configured";
    info_.security_boundary = true;
    info_.user_network_explanation = "Firecracker has none: it is given network slots";
    info_.snapshots = false;
    info_.snapshots_explanation = NoFirecrackerSnapshots().message;
    info_.raw_disks = true;
    info_.needs_slot = true;
    info_.jailed = true;
    info_.vmm_memory_bytes = kVmmMemory;
  }

  const EngineInfo& info() const override { return info_; }
  Status Settle(const std::string&, const std::string&, Deadline) override { return {}; }

  Result<std::unique_ptr<Machine>> Boot(const MachineConfig& config, Deadline deadline) override {
    ASSIGN_OR_RETURN(FirecrackerParts parts, LaunchFirecracker(config, facts_, deadline));
    return FirecrackerMachine::Start(std::move(parts));
  }
  Result<std::unique_ptr<Machine>> Restore(const MachineConfig&, const std::string&,
                                           const FillMemory&, Deadline) override {
    return Fail(NoFirecrackerSnapshots());
  }
  json::object Fingerprint(const MachineConfig&) override {
    return {{"engine", info_.name}, {"version", info_.version}};
  }
  Status CheckFingerprint(const MachineConfig&, const json::object&) override {
    return Fail(NoFirecrackerSnapshots());
  }

  Result<std::unique_ptr<Machine>> Adopt(const MachineConfig& config,
                                         const json::object& object) override;
  Status Reap(const MachineConfig& config, const json::object& object) override;

 private:
  const FirecrackerFacts facts_;
  EngineInfo info_;
};

// Ids are unique, whichever server made them.
IsVmm VmmOf(const MachineConfig& config) {
  return [expected = FirecrackerArguments(config)](const std::vector<std::string>& arguments) {
    return arguments == expected;
  };
}

Result<std::unique_ptr<Machine>> FirecrackerEngine::Adopt(const MachineConfig& config,
                                                          const json::object& object) {
  ASSIGN_OR_RETURN(const FirecrackerRecord record, ParseFirecrackerRecord(object));
  auto process = FindRecorded(record.vmm, record.boot_id, VmmOf(config));
  if (!process) {
    if (process.error().code == Code::kNotFound) RETURN_IF_ERROR(Reap(config, object));
    return Fail(std::move(process.error()));
  }
  auto outputs = OpenOutputs(config);
  if (!outputs) {  // not kNotFound, whatever failed: it does run
    return Fail(Error{Code::kUnavailable,
                      fmt::format("the VMM of '{}' runs but cannot be watched", config.id),
                      outputs.error().ToString()});
  }
  return FirecrackerMachine::Start({config, std::move(*process), std::move(*outputs)});
}

Status FirecrackerEngine::Reap(const MachineConfig& config, const json::object& object) {
  const auto find = [&]() -> Result<os::Process> {
    if (object.empty()) {
      return FindUnrecorded(VmmOf(config), [](pid_t) -> Result<bool> { return true; });
    }
    ASSIGN_OR_RETURN(const FirecrackerRecord record, ParseFirecrackerRecord(object));
    return FindRecorded(record.vmm, record.boot_id, VmmOf(config));
  };
  auto process = find();
  if (process) {
    RETURN_IF_ERROR(process->Kill(Deadline::After(kReapLimit)));
  } else if (process.error().code != Code::kNotFound) {
    return Fail(std::move(process.error()));
  }
  FirecrackerFiles(config.runtime_directory).Remove();
  return {};
}

}  // namespace

Result<std::unique_ptr<Engine>> MakeFirecrackerEngine(const FirecrackerEngineOptions& options) {
  FirecrackerFacts facts;
  ASSIGN_OR_RETURN(facts.binary, FindFirecracker(options.binary));
  ASSIGN_OR_RETURN(facts.version, AskVersion(facts.binary));
  RETURN_IF_ERROR(CheckFirecrackerVersion(facts.version));
  if (const KvmVerdict kvm = ProbeKvmDevice(); !kvm.usable) {
    return Fail(Code::kFailedPrecondition, "Firecracker needs KVM: {}", kvm.explanation);
  }
  RETURN_IF_ERROR(os::CheckJail());
  facts.emulated_tsc_khz = IsEmulatedHost() ? HostTscKhz() : 0;
  return std::make_unique<FirecrackerEngine>(std::move(facts));
}

}  // namespace wrenn::vmm
