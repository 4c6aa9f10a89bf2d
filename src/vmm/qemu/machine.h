// QemuMachine: one running QEMU process and what watches it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "os/process.h"
#include "vmm/captured_output.h"
#include "vmm/exit_notice.h"
#include "vmm/machine.h"
#include "vmm/qemu/exit_reason.h"
#include "vmm/qemu/qmp_client.h"
#include "vmm/qemu/runtime_files.h"
#include "vmm/vmm_process.h"

namespace wrenn::vmm {

// What a server holds of a running VMM.
struct VmmConnections {
  std::unique_ptr<QmpClient> qmp;
  CapturedOutput console;
  CapturedOutput messages;  // its stderr
};

// What a machine consists of once it runs.
struct QemuParts {
  MachineConfig config;
  os::Process process;
  std::vector<os::Process> helpers;  // of its user-mode network; they end with it
  VmmConnections vmm;
  bool kvm = false;
  bool network_ended = false;  // one of the helpers is gone already: then the machine is ended
  bool foreign = false;        // not the engine's build, which could not load its state
};

// A thread of its own watches the process, its events and its output. The object must not be
// destroyed from its own exit callback.
class QemuMachine final : public Machine {
 public:
  static Result<std::unique_ptr<QemuMachine>> Start(QemuParts parts);
  ~QemuMachine() override;

  json::object Record() const override { return record_; }
  std::shared_ptr<agent::Channel> channel() override;
  std::shared_ptr<agent::Channel> NewChannel() override;
  void OnExit(std::function<void(const MachineExit&)> callback) override {
    exit_.OnExit(std::move(callback));
  }
  std::optional<MachineExit> exit() const override { return exit_.Get(); }
  std::string Held() const override;
  void OnHold(std::function<void(const std::string& why)> callback) override;
  Status Freeze(Deadline deadline) override;
  Status Continue(Deadline deadline) override;
  Status Kill(Deadline deadline) override;
  Result<memory::ProcessMemory> Memory() const override;
  Status SaveState(const std::string& path, Deadline deadline) override;
  Status PrepareDisk(const std::string& path, Deadline deadline) override;
  Status DropDisk(const std::string& path, Deadline deadline) override;
  Status SwitchDisk(const std::string& path, Deadline deadline) override;
  Status ReplaceBelow(const std::string& merged, const std::vector<std::string>& replaced,
                      Deadline deadline) override;
  Result<std::string> Disk(Deadline deadline) override;
  uint64_t HostMemoryBytes() const override;

  // Lets the machine run if a server that is gone had frozen it.
  Status Thaw(Deadline deadline);
  // What it may read and write of its disk from now on.
  Status LimitDisk(const DiskRate& rate, Deadline deadline);
  // Loads a state into a machine that was started for that (Start::kRestore).
  Status LoadState(const std::string& path, Deadline deadline);

 private:
  QemuMachine(QemuParts parts, UniqueFd stop);

  void Watch();
  // One round of waiting and handling; false when the process has ended or the object ends.
  bool WatchOnce(bool quiet);
  void HandleEvent(const QmpEvent& event);
  void SetHeld(bool held);
  // Lets a machine that is held go on, if there is room on its disk again.
  void TryToGoOn();
  Status Command(const std::string& command, json::object arguments, Deadline deadline);
  Status WaitForState(Deadline deadline);
  Result<std::string> DiskNodeInUse(Deadline deadline);
  // Of the layer that is the node of this name.
  std::string LayerPath(const std::string& node) const;
  // One of the helpers has ended: ends the machine too, unless that is just ending itself.
  void EndWithNetwork();
  void EndForNetwork();
  void Finish();

  QemuParts parts_;  // but for the process the watching thread's alone, once it runs
  const json::object record_;
  const UniqueFd stop_;
  const uint64_t memory_kills_before_;
  ExitEvidence evidence_;
  bool qmp_open_ = true;
  Deadline::Clock::time_point next_try_;  // to go on

  // The VMM's, of a state that has been saved; of who freezes and continues it alone.
  std::optional<int64_t> state_descriptor_;

  ExitNotice exit_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<agent::Channel> channel_;
  std::string migration_;  // QEMU's word for how far the loading of the state is
  std::function<void(const std::string&)> on_hold_;
  std::atomic<bool> held_ = false;  // a write of the guest's waits for room on the host's disk
  bool frozen_ = false;             // by Freeze()
  std::thread thread_;
};

// The record of a machine: what Adopt() and Reap() need.
json::object MakeRecord(const QemuParts& parts);

struct QemuRecord {
  std::string boot_id;
  RecordedProcess vmm;
  std::vector<RecordedProcess> helpers;
  bool kvm = false;
};
// kFailedPrecondition for a record of another engine, kInvalidArgument for a broken one.
Result<QemuRecord> ParseRecord(const json::object& record);

}  // namespace wrenn::vmm
