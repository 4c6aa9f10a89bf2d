// FirecrackerMachine: one running Firecracker process and what watches it.
#pragma once

#include <memory>
#include <mutex>
#include <thread>

#include "os/process.h"
#include "vmm/captured_output.h"
#include "vmm/exit_notice.h"
#include "vmm/machine.h"
#include "vmm/vmm_process.h"

namespace wrenn::vmm {

// kUnimplemented: what is asked for needs a frozen machine.
Error NoFirecrackerSnapshots();

struct FirecrackerOutputs {
  CapturedOutput console;   // the guest's serial port
  CapturedOutput messages;  // what Firecracker says
  CapturedOutput metrics;   // a line of JSON each minute, and one at its end
};

// What a machine consists of once it runs.
struct FirecrackerParts {
  MachineConfig config;
  os::Process process;
  FirecrackerOutputs outputs;
  // What the start's steps took, in milliseconds: "spawn" (pipes, jail, process), "ready" (until
  // the API answers), "setup" (calls that configure) and "start"; of an adopted one nothing.
  json::object start_ms = {};
};

// A thread of its own watches the process and its output. The object must not be destroyed from its
// own exit callback.
class FirecrackerMachine final : public Machine {
 public:
  static Result<std::unique_ptr<FirecrackerMachine>> Start(FirecrackerParts parts);
  ~FirecrackerMachine() override;

  json::object Record() const override { return record_; }
  std::shared_ptr<agent::Channel> channel() override { return channel_; }
  // For machines that have been frozen; there are none.
  std::shared_ptr<agent::Channel> NewChannel() override { return channel_; }
  void OnExit(std::function<void(const MachineExit&)> callback) override {
    exit_.OnExit(std::move(callback));
  }
  std::optional<MachineExit> exit() const override { return exit_.Get(); }
  std::string Held() const override { return {}; }
  void OnHold(std::function<void(const std::string&)>) override {}
  Status Kill(Deadline deadline) override;
  uint64_t HostMemoryBytes() const override;

  Status Freeze(Deadline) override { return Fail(NoFirecrackerSnapshots()); }
  Status Continue(Deadline) override { return Fail(NoFirecrackerSnapshots()); }
  Result<memory::ProcessMemory> Memory() const override { return Fail(NoFirecrackerSnapshots()); }
  Status SaveState(const std::string&, Deadline) override { return Fail(NoFirecrackerSnapshots()); }
  Status PrepareDisk(const std::string&, Deadline) override {
    return Fail(NoFirecrackerSnapshots());
  }
  Status DropDisk(const std::string&, Deadline) override { return Fail(NoFirecrackerSnapshots()); }
  Status SwitchDisk(const std::string&, Deadline) override {
    return Fail(NoFirecrackerSnapshots());
  }
  Status ReplaceBelow(const std::string&, const std::vector<std::string>&, Deadline) override {
    return Fail(NoFirecrackerSnapshots());
  }
  Result<std::string> Disk(Deadline) override { return parts_.config.disk; }

 private:
  FirecrackerMachine(FirecrackerParts parts, UniqueFd stop);

  void Watch();
  // One round of waiting and handling; false when the process has ended or the object ends.
  bool WatchOnce(bool quiet);
  void Finish();

  FirecrackerParts parts_;  // but for the process the watching thread's alone, once it runs
  const json::object record_;
  const std::shared_ptr<agent::Channel> channel_;
  const UniqueFd stop_;
  const uint64_t memory_kills_before_;
  ExitNotice exit_;
  mutable std::mutex mutex_;  // guards the process
  std::thread thread_;
};

// The record of a machine: what Adopt() and Reap() need.
struct FirecrackerRecord {
  std::string boot_id;
  RecordedProcess vmm;
};
// kFailedPrecondition for a record of another engine, kInvalidArgument for a broken one.
Result<FirecrackerRecord> ParseFirecrackerRecord(const json::object& record);

}  // namespace wrenn::vmm
