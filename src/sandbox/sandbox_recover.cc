// What becomes of a sandbox when the server starts again.
#include "disk/follow_top.h"
#include "sandbox/plan.h"
#include "sandbox/sandbox.h"
#include "sandbox/text.h"
#include "snapshot/layer_digests.h"

namespace wrenn::sandbox {
namespace {

using store::SandboxState;

constexpr std::chrono::seconds kVmmLimit{10};
// How long it may take until it is seen that a machine is held.
constexpr std::chrono::milliseconds kHeldLag{2'000};

}  // namespace

void Sandbox::Recover() {
  const store::SandboxRecord found = record();
  {
    // An ended one that has a machine is one that could not be ended.
    std::lock_guard lock(mutex_);
    orphan_ = !store::IsEnded(found.state) || !found.machine.empty();
  }
  if (!HoldsMachine()) return;
  switch (found.state) {
    case SandboxState::kRunning:
      return AdoptOrEnd();
    case SandboxState::kPausing:
      return RecoverPause();
    case SandboxState::kPaused:
      return RecoverPaused();
    case SandboxState::kResuming:
      return RecordRecovered(TearDownMachine(), SandboxState::kPaused,
                             "the server ended while it was resumed", "resume");
    case SandboxState::kStarting:
      return RecordRecovered(TearDown(Leave::kLogs), SandboxState::kError,
                             "the server ended while the sandbox was starting", "create");
    case SandboxState::kStopping:
      if (found.reason == kRemovedReason) return (void)Destroy();
      return RecordRecovered(TearDown(Leave::kLogs), SandboxState::kStopped, found.reason, "stop");
    case SandboxState::kStopped:
    case SandboxState::kError:
      return RecordRecovered(TearDown(Leave::kLogs), found.state, found.reason, "stop");
  }
}

void Sandbox::RecordRecovered(const Status& torn, SandboxState state, const std::string& reason,
                              const std::string& kind) {
  (void)RecordEnd({state, reason, kind, "recovered"}, torn);
}

void Sandbox::AdoptOrEnd() {
  Phases phases = BeginPhases("adopt");
  const store::SandboxRecord found = record();
  reservation_ = services_.admission.Take(AmountOf(found));
  const Status adopted = Adopt();
  phases.Mark("adopt");
  if (adopted) {
    activity_.Touch();
    services_.wake_reaper();
    // It runs, whether this could be written or not.
    const json::object times = phases.Finish();
    (void)RecordFact({SandboxState::kRunning, "", "adopt", "done", times});
    services_.Tell(Severity::kInfo, id_, "adopted", times);
    return;
  }
  const std::string reason = CleanTail(adopted.error().message);
  phases.Note("error", json::value(CleanTail(adopted.error().ToString())));
  SetClosing(true);
  const Status torn = TearDown(Leave::kLogs, &phases);
  (void)RecordEnd({SandboxState::kError, reason, "adopt", "failed", phases.Finish()}, torn);
}

Status Sandbox::Adopt() {
  ASSIGN_OR_RETURN(vmm::MachineConfig config, Configuration());
  ASSIGN_OR_RETURN(const net::NetworkPolicy policy, Policy());
  // What the machine stands on may be gone because the machine is: after the host's restart, say.
  const Status host = share_.Adopt(record().machine, BaseImage(), policy, config);
  auto machine = services_.engine.Adopt(config, record().machine);
  if (!machine && machine.error().code == Code::kNotFound) {
    const std::string limit = share_.LimitReached();
    return Fail(Error{Code::kNotFound,
                      limit.empty() ? "the machine ended while the server was away"
                                    : "while the server was away " + limit,
                      machine.error().ToString()});
  }
  if (!machine) return Fail(machine.error().WithContext("the machine could not be adopted"));
  if (!host) return Fail(host.error().WithContext("what the machine stands on has gone"));
  auto agent = std::make_shared<agent::Client>((*machine)->channel(), record().agent_token);
  TakeMachine(std::move(*machine), std::move(agent));
  RETURN_IF_ERROR(CorrectDisk());
  const Deadline deadline = Deadline::After(services_.config.adopt_limit);
  auto health = Agent()->Health(Deadline::After(std::min(kHeldLag, services_.config.adopt_limit)));
  if (!health && WhyHeld().empty()) health = Agent()->Health(deadline);
  // One that is held cannot answer, and goes on later.
  if (health || !WhyHeld().empty()) return {};
  return Fail(health.error().WithContext("the guest did not answer after the server's restart"));
}

// A server that was killed between giving the machine other disk layers, on top or below, and
// recording that left a record without them; and files that are no part of the disk. A VMM may also
// have failed to say whether it took a layer.
Status Sandbox::CorrectDisk() {
  if (!services_.engine.info().snapshots) return {};  // it never gets another layer
  ASSIGN_OR_RETURN(disk::Layers layers, ParseDisk(record().disk));
  if (disk::NeedsDevice(layers.front().name)) return {};  // likewise
  ASSIGN_OR_RETURN(const std::string path, Machine()->Disk(Deadline::After(kVmmLimit)));
  const std::string name = path.substr(path.rfind('/') + 1);
  if (name != layers.front().name) {
    ASSIGN_OR_RETURN(disk::Layer top, disk::ParseLayer(name));
    layers.insert(layers.begin(), std::move(top));
  }
  // What cannot be read now is told when the disk is opened again; it runs all the same.
  if (const auto now = disk::FollowTop(files_.folder(), layers)) layers = *now;
  NoteDisk(layers);
  is_disk_unsure_ = false;
  if (Status removed = RemoveOtherLayers(); !removed) {
    services_.Tell(Severity::kWarning, id_, "its disk is not what its record says",
                   {{"error", CleanTail(removed.error().ToString())}});
  }
  return {};
}

// In the middle of a pause: it is paused when its snapshot is there, and goes on running when not.
void Sandbox::RecoverPause() {
  const store::SandboxRecord found = record();
  if (!snapshot::Open(services_.config.paths.Snapshot(found.snapshot))) {
    ForgetSnapshot();
    return AdoptOrEnd();
  }
  const Status torn = TearDownMachine();
  NoteDisk({});
  RecordRecovered(torn, SandboxState::kPaused, found.reason, "pause");
}

// A machine of it that is left stood by for the server that has ended: its snapshot is what counts.
// One that cannot be read now, perhaps by another version or when its disk is back, is kept, and
// the record says what is wrong with it.
void Sandbox::RecoverPaused() {
  const store::SandboxRecord found = record();
  if (!found.machine.empty()) {
    const Status torn = TearDownMachine();
    NoteDisk({});
    RecordRecovered(torn, SandboxState::kPaused, found.reason, "standby");
    if (HoldsMachine()) return;
  }
  {
    std::lock_guard lock(mutex_);
    orphan_ = false;
  }
  const std::string place = services_.config.paths.Snapshot(record().snapshot);
  const auto manifest = snapshot::Open(place);
  if (!manifest) {
    return RecordRecovered({}, SandboxState::kPaused,
                           manifest.error().WithContext("it cannot be resumed").message, "adopt");
  }
  // It may have been made just before the server ended.
  if (!snapshot::HasAllDigests(*manifest)) TidyLater();
}

}  // namespace wrenn::sandbox
