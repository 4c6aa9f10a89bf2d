// Sandbox: one sandbox, from its creation to its removal. Owns its machine, its files and its part
// of the host.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/revert.h"
#include "memory/capture.h"
#include "sandbox/activity.h"
#include "sandbox/executor.h"
#include "sandbox/exit_signal.h"
#include "sandbox/host_share.h"
#include "sandbox/phases.h"
#include "sandbox/sandbox_files.h"
#include "sandbox/services.h"
#include "sandbox/source.h"

namespace wrenn::sandbox {

// The reason in the record of a sandbox that is being removed.
inline constexpr const char* kRemovedReason = "removed";

// There is at most one object per id at a time (Directory sees to that), and only tasks on its
// executor change it; the rest may be called from any thread. Destroying the object leaves machine
// and files as they are: a sandbox outlives the server.
class Sandbox : public std::enable_shared_from_this<Sandbox> {
 public:
  // For a record that is about to be stored, or was loaded.
  static Result<std::shared_ptr<Sandbox>> Make(Services& services, store::SandboxRecord record);

  const std::string& id() const { return id_; }
  const std::string& tenant() const { return tenant_; }
  Executor& executor() { return *executor_; }

  store::SandboxRecord record() const;
  // The record for people: its reason says why the sandbox stands still, if it does.
  store::SandboxRecord View() const;
  // The record of one whose agent could not be reached: waits a moment for its machine's end, and
  // says that as the record soon will.
  store::SandboxRecord RecordAfterLoss() const;
  // Whether there is more to it than its record and its logs.
  bool IsLive() const;

  // kAborted when it does not run; kUnavailable when its machine is held.
  Result<std::unique_ptr<Lease>> Use();
  Result<std::unique_ptr<Lease>> Look();
  Result<store::SandboxRecord> Touch();
  // It is idle when this has passed; look again then.
  Deadline IdleDeadline() const;
  // When its machine has stood by for long enough.
  Deadline StandbyDeadline() const;
  bool HasUnsavedActivity() const { return activity_.HasUnsaved(); }
  // What is to be stored of its activity.
  std::optional<store::Time> TakeUnsavedActivity() { return activity_.TakeUnsaved(); }
  // Whether its last change is not in the store yet, because the store failed.
  bool IsUnsaved() const;

  // Ends the machine of a start or a stop in progress, and lets a stop that is about to begin not
  // wait for the guest, so that the executor gets on. The one effect from outside of the executor:
  // it changes nothing else, and the task in progress does what follows.
  void Interrupt();

  Result<std::string> ConsoleTail(size_t limit) const { return files_.ConsoleTail(limit); }

  // Holds what it writes to its disk, or lets it go on: see HostShare::HoldDisk(). False when that
  // failed, which is told once until it is done. Any thread.
  bool HoldDisk(bool hold);
  // Has it ended when the kernel has given up the block device under it. Any thread.
  void CheckDisk();

  // The following run on its executor.

  // Brings it up. On failure nothing is left of it, neither record nor files.
  Result<store::SandboxRecord> Start(Source source, Reservation reservation);
  // Freezes it into a snapshot and gives back all that it uses but disk space; its machine may
  // stand by for a while. On failure it runs on. kAborted when it does not run.
  Result<store::SandboxRecord> Pause(const std::string& reason);
  // Brings it back, `cold` without its memory. On failure it is paused as it was. kAborted when it
  // is not paused; kResourceExhausted when there is no room for it.
  Result<store::SandboxRecord> Resume(bool cold);
  // Ends its machine if that stands by; the sandbox is as paused as before.
  void EndStandby(const std::string& why);
  // The same if StandbyDeadline() has passed.
  void EndStandbyInTime();
  // Makes a snapshot of it at `place`, running or paused, and leaves it as it is: what runs is held
  // up for milliseconds.
  Result<snapshot::Manifest> TakeSnapshot(const std::string& id, const std::string& place,
                                          snapshot::Durability durability);
  // After the server's restart: adopts it, or ends it properly. Failures are recorded.
  void Recover();
  // Ends it in order. Harmless when it has ended.
  Result<store::SandboxRecord> Stop(const std::string& reason);
  // Pauses or stops it, as its record says, if it is still idle.
  void EndIfIdle();
  // Ends it and removes all of it. Harmless when that has been done.
  Status Destroy();
  Result<store::SandboxRecord> SetTimeout(int64_t timeout_sec);
  // See Manager::SetNetwork().
  Result<store::SandboxRecord> SetNetwork(const Network& change);
  // Tries to store what IsUnsaved().
  void Save();
  // Whether a machine of it runs, or may run.
  bool HoldsMachine() const;
  // Whether Destroy() has done its work: nothing of it is left, its record included.
  bool IsRemoved() const;
  // The phases of a transition of it, each of which is measured.
  Phases BeginPhases(const std::string& transition) const;

 private:
  class HeldLease;
  enum class Counts { kActivity, kNothing };
  Result<std::unique_ptr<Lease>> MakeLease(Counts counts);

  // What TearDown() leaves.
  enum class Leave { kLogs, kNothing };
  // A change of the record and the journal line that tells of it.
  struct Change {
    store::SandboxState state;
    std::string reason;
    std::string kind;
    std::string phase;
    json::object details = {};
  };

  Sandbox(Services& services, store::SandboxRecord record, SandboxFiles files);

  // Whether it is idle only as far as nobody is attached: a command that was left running does.
  bool WorksInBackground();

  // sandbox_start.cc
  Status BringUp(const Source& source, Phases& phases);
  Status TryAgain(const Source& source, const Status& failed, Phases& phases);
  Status ClearFailedStart(const Error& why, Phases& phases);
  Status Boot(const Source& source, Deadline deadline, Phases& phases);
  Status Restore(const Source& source, Deadline deadline, Phases& phases);
  Status WaitForAgent(Deadline deadline, Phases& phases);
  Status PrepareAgent(Deadline deadline, Phases& phases);
  // `agent` has the token that the agent in it asks for, until Init() sets another.
  void TakeMachine(const std::shared_ptr<vmm::Machine>& machine,
                   std::shared_ptr<agent::Client> agent);
  void NoteOrigin(const Source& source);
  void NoteDisk(const disk::Layers& layers, LayerDigests more = {});
  std::shared_ptr<vmm::Machine> Machine() const;
  std::shared_ptr<agent::Client> Agent() const;
  Error ExplainFailure(const Error& error);
  Error UndoStart(const Error& why, Phases& phases);
  // Where its machine is, and all that it is made of.
  vmm::MachineConfig Place() const;
  vmm::MachineConfig Shape() const;  // without disk and memory
  std::string BaseImage() const;
  Result<vmm::MachineConfig> Configuration() const;

  // sandbox_recover.cc
  void AdoptOrEnd();
  Status Adopt();
  Status CorrectDisk();
  void RecoverPause();
  void RecoverPaused();
  void RecordRecovered(const Status& torn, store::SandboxState state, const std::string& reason,
                       const std::string& kind);

  // sandbox_freeze.cc
  struct Subject;
  snapshot::Manifest Describe(const std::string& snapshot_id) const;
  Result<Subject> BeginFreeze(snapshot::Manifest& manifest);
  Status LinkDisk(const Subject& subject, const snapshot::Draft& draft) const;
  Status Freeze(const snapshot::Draft& draft, snapshot::Manifest& manifest, bool& standby,
                Phases& phases);
  Status FreezeAndGoOn(const snapshot::Draft& draft, snapshot::Manifest& manifest, Phases& phases);
  Result<memory::Copy> SwitchOver(const Subject& subject, const snapshot::Draft& draft,
                                  snapshot::Manifest& manifest, Phases& phases);
  Status CopyDisk(const Subject& subject, const snapshot::Draft& draft,
                  snapshot::Manifest& manifest);
  Result<disk::Layer> PrepareLayer(const Subject& subject, Revert& undo) const;
  Status SwitchTo(const Subject& subject, const disk::Layer& layer, Revert& undo);
  Status MakeReadyToStandBy(const Subject& subject, const memory::Image& image,
                            const snapshot::Draft& draft, snapshot::Manifest& manifest);
  Result<memory::Image> WriteMemory(const memory::Ranges& ranges, const memory::PageReader& read,
                                    const std::string& directory, Phases& phases) const;
  Status AddDigests(const snapshot::Draft& draft, snapshot::Manifest& manifest);
  Status GoOn();
  std::optional<vmm::MachineExit> WaitForExit() const;
  void KeepWarm(const std::string& place, Phases& phases);

  // sandbox_pause.cc
  Result<store::SandboxRecord> PauseNow(const std::string& reason);
  Error UndoPause(const Error& why, Phases& phases);
  Status ReleasePaused();
  Status BringBack(const Source& source, bool& standby, Phases& phases);
  Result<snapshot::Manifest> CopySnapshot(const std::string& id, const std::string& place,
                                          snapshot::Durability durability, Phases& phases);

  // sandbox_standby.cc
  bool MayStandBy() const;
  bool StandBy();
  void EndStandbyLater();
  Status TakeBack();
  void LeaveBe();
  Status GoOnFromStandby(const Source& source, Phases& phases);

  // sandbox_tidy.cc
  void TidyLater();
  void Tidy();
  Status KeepTidyMemory(const std::string& place);
  Status AddMissingDigests();
  Result<snapshot::Manifest> MakeTidy(const std::string& from, const std::string& id,
                                      Phases& phases) const;

  // sandbox_shorten.cc
  Status ShortenDisk();
  Status RemoveOtherLayers();

  Status RemoveSnapshot();
  void ForgetSnapshot();

  // sandbox_hold.cc
  // Why the guest cannot answer, since its machine is held; else empty.
  std::string WhyHeld() const;
  std::string WhyHeldLocked() const;  // the lock is held
  void HandleHold(const std::string& why);

  // sandbox_network.cc
  Result<net::NetworkPolicy> Policy() const;
  Status CheckNetworkChange() const;
  Status RecordNetwork(const Network& network);
  Status ApplyNetwork(const Network& before, const Network& after, Phases& phases);

  // sandbox_end.cc
  // `of` is the signal of the machine that has ended, which may be one before the present one.
  void HandleExit(const std::shared_ptr<ExitSignal>& of, const vmm::MachineExit& exit);
  void FinishEnd();
  void HandleDiskFailure(const std::string& why);
  // It runs, and is at its end.
  void EndNow(store::SandboxState state, const std::string& reason, Phases& phases);
  // What has ended its machine: a limit of the host's, or what the machine's exit says.
  std::string WhyEnded(const vmm::MachineExit& exit) const;
  Status TearDown(Leave leave, Phases* phases = nullptr);
  // What a paused one does without: its machine, its part of the host, and its files but for the
  // logs.
  Status TearDownMachine();
  // Marks what has gone, in its order: "vmm", "device", "loops".
  Status EndMachine(Phases* phases = nullptr);
  // Records the end after TearDown() has answered `torn`.
  Status RecordEnd(Change change, const Status& torn);
  Status RemoveRecord();

  // Before an effect: when it cannot be stored, nothing changes, but for a full disk if the effect
  // frees space (`ending`).
  Status RecordIntent(const Change& change, bool ending);
  // After an effect: the record changes whether it can be stored or not; see IsUnsaved().
  Status RecordFact(const Change& change);
  store::EventRecord MakeEvent(const Change& change) const;
  store::SandboxState state() const;
  bool IsInterrupted() const;
  void SetClosing(bool closing);
  // kAborted, saying what it does instead. The lock is held.
  Status CheckRunning() const;

  Services& services_;
  const std::string id_;
  const std::string tenant_;
  const std::shared_ptr<Executor> executor_;
  SandboxFiles files_;
  Activity activity_;

  Reservation reservation_;        // used on the executor alone
  HostShare share_;                // the same
  bool has_other_layers_ = false;  // the same: merged ones that are to be removed
  bool is_disk_unsure_ = false;    // the same: whether its machine has the layer that it was given

  std::atomic<bool> hold_failed_ = false;  // the last HoldDisk()
  std::atomic<bool> background_ = false;   // a command was left running, when last looked

  mutable std::mutex mutex_;  // guards what follows
  store::SandboxRecord record_;
  // The journal line of a record that is not stored yet.
  std::optional<store::EventRecord> unsaved_;
  std::shared_ptr<vmm::Machine> machine_;
  std::shared_ptr<agent::Client> client_;
  std::shared_ptr<ExitSignal> exit_;
  Deadline standby_until_ = Deadline::Never();  // while it is paused and has a machine
  bool orphan_ = false;   // there may be a machine of an earlier server's that no object stands for
  bool closing_ = false;  // no more leases
  bool interrupted_ = false;  // see Interrupt()
  bool removed_ = false;
  bool will_tidy_ = false;  // a Tidy() has been posted and has not begun
};

}  // namespace wrenn::sandbox
