// How a sandbox comes up: booted from a template, or restored from a snapshot.
#include <future>

#include "base/id.h"
#include "sandbox/exercise.h"
#include "sandbox/init_request.h"
#include "sandbox/sandbox.h"
#include "sandbox/text.h"
#include "sandbox/warm_pool.h"
#include "template/image.h"

namespace wrenn::sandbox {
namespace {

using std::chrono::milliseconds;
using store::SandboxState;

// How failures deep below look to the one who asked for a sandbox: a missing file is not "not
// found".
Code CodeForCaller(Code code) {
  switch (code) {
    case Code::kInvalidArgument:
    case Code::kResourceExhausted:
    case Code::kDeadlineExceeded:
    case Code::kAborted:
    case Code::kUnavailable:
    case Code::kFailedPrecondition:
    case Code::kUnimplemented:
    case Code::kDataLoss:
      return code;
    default:
      return Code::kInternal;
  }
}

}  // namespace

Result<store::SandboxRecord> Sandbox::Start(Source source, Reservation reservation) {
  Phases phases = BeginPhases("create");
  reservation_ = std::move(reservation);
  NoteOrigin(source);
  store::SandboxRecord next = record();
  const Change intent{SandboxState::kStarting,
                      fmt::format("from template '{}': {}", next.template_name, next.origin),
                      "create", "intent"};
  Status begun = Fail(Code::kUnavailable, "the server is shutting down");
  if (!services_.closing) begun = services_.store.AddSandbox(next, MakeEvent(intent));
  if (!begun) {
    {
      std::lock_guard lock(mutex_);
      removed_ = true;
    }
    reservation_.Release();
    services_.forget(id_);
    return Fail(std::move(begun.error()));
  }
  {
    std::lock_guard lock(mutex_);
    record_ = next;
  }
  phases.Mark("record");
  // The disk has as long as the machine needs to take in that there is a sandbox. That it runs need
  // not be there as well, since no machine outlives the host.
  auto synced = std::async([&store = services_.store] { return store.Sync(); });

  Status up = BringUp(source, phases);
  while (!up && !IsInterrupted() && FallBack(source, up.error())) up = TryAgain(source, up, phases);
  json::object times;
  if (up) {
    times = phases.Finish();
    next = record();
    next.state = SandboxState::kRunning;
    next.started_at = next.last_active_at = std::chrono::system_clock::now();
    const auto event = MakeEvent({SandboxState::kRunning, "", "create", "done", times});
    const auto durable = synced.get() ? store::Durable::kSoon : store::Durable::kNow;
    up = services_.store.UpdateSandbox(next, &event, durable);
  }
  services_.metrics.CountCreate(!up ? "failed" : source.ready ? "pool" : source.kind);
  if (!up) return Fail(UndoStart(up.error(), phases));
  {
    std::lock_guard lock(mutex_);
    record_ = next;
  }
  activity_.Touch();
  services_.wake_reaper();
  services_.Tell(Severity::kInfo, id_, "started", std::move(times));
  return next;
}

// From the next best source, since this one failed.
Status Sandbox::TryAgain(const Source& source, const Status& failed, Phases& phases) {
  RETURN_IF_ERROR(ClearFailedStart(failed.error(), phases));
  NoteOrigin(source);
  return BringUp(source, phases);
}

// So that it can be started in another way.
Status Sandbox::ClearFailedStart(const Error& why, Phases& phases) {
  const std::string error = CleanTail(why.ToString());
  services_.Tell(Severity::kWarning, id_, "it is started in another way", {{"error", error}});
  phases.Note("first_error", json::value(error));
  RETURN_IF_ERROR(EndMachine());
  RETURN_IF_ERROR(files_.RemoveAllButLogs());
  phases.Mark("undo");
  return {};
}

void Sandbox::NoteOrigin(const Source& source) {
  std::lock_guard lock(mutex_);
  record_.origin = source.ready ? "warm pool" : source.origin;
}

Status Sandbox::BringUp(const Source& source, Phases& phases) {
  {
    std::lock_guard lock(mutex_);
    exit_.reset();  // of an earlier machine
  }
  const Deadline deadline = Deadline::After(services_.config.boot_limit);
  RETURN_IF_ERROR(source.IsRestore() ? Restore(source, deadline, phases)
                                     : Boot(source, deadline, phases));
  return PrepareAgent(deadline, phases);
}

Status Sandbox::Boot(const Source& source, Deadline deadline, Phases& phases) {
  const store::SandboxRecord planned = record();
  // Only now that the record names them are image and kernel safe from removal: look again. Those
  // of a sandbox that was paused have been all the time.
  if (planned.state == SandboxState::kStarting) {
    const auto still = services_.catalogue.Find(tenant_, planned.template_name);
    if (!still || still->record.image != planned.image || still->record.kernel != planned.kernel) {
      return Fail(Code::kAborted, "template '{}' has been changed meanwhile: try again",
                  planned.template_name);
    }
  }
  RETURN_IF_ERROR(files_.MakeFolders());
  const uint64_t disk_bytes = static_cast<uint64_t>(planned.disk_mb) << 20;
  ASSIGN_OR_RETURN(const disk::Layers disk,
                   source.cold ? files_.TakeDisk(source.snapshot, *source.manifest, disk_bytes,
                                                 services_.host.disks != nullptr)
                               : files_.MakeDisk(source.boot.image, disk_bytes));
  if (services_.engine.info().snapshots) RETURN_IF_ERROR(files_.MakeMemory(planned.memory_mb));
  if (source.cold) RETURN_IF_ERROR(files_.NoteParent(source.manifest->id));
  NoteDisk(disk, source.cold ? source.manifest->layer_digests : LayerDigests());
  phases.Mark("disk");

  ASSIGN_OR_RETURN(vmm::MachineConfig config, Configuration());
  config.kernel = source.boot.vmlinux;
  config.initramfs = source.boot.initramfs;
  ASSIGN_OR_RETURN(const net::NetworkPolicy policy, Policy());
  RETURN_IF_ERROR(share_.Acquire(BaseImage(), policy, config));
  phases.Mark("host");
  ASSIGN_OR_RETURN(auto machine, services_.engine.Boot(config, deadline));
  auto agent = std::make_shared<agent::Client>(machine->channel(), "");
  TakeMachine(std::move(machine), std::move(agent));
  RETURN_IF_ERROR(files_.WriteMachine(record().machine));
  phases.Mark("vmm");
  if (source.warm.empty()) return {};
  RETURN_IF_ERROR(WaitForAgent(deadline, phases));
  RETURN_IF_ERROR(ExerciseAgent(*Agent(), id_, "", deadline));
  Agent()->CloseIdle();
  KeepWarm(source.warm, phases);
  return {};
}

Status Sandbox::Restore(const Source& source, Deadline deadline, Phases& phases) {
  ASSIGN_OR_RETURN(const net::NetworkPolicy policy, Policy());
  Restored restored;
  if (source.ready) {
    restored = std::move(source.ready->restored);
    share_.TakeFrom(source.ready->share);
  } else {
    RETURN_IF_ERROR(files_.MakeFolders());
    ASSIGN_OR_RETURN(restored, RestoreMachine(services_, files_, share_, Shape(), policy, source,
                                              deadline, phases));
  }
  NoteDisk(restored.disk, source.manifest->layer_digests);
  std::shared_ptr<agent::Client> agent = std::move(restored.agent);
  if (!agent) {
    agent =
        std::make_shared<agent::Client>(restored.machine->channel(), source.manifest->agent_token);
  }
  TakeMachine(std::move(restored.machine), std::move(agent));
  if (!source.ready) RETURN_IF_ERROR(files_.WriteMachine(record().machine));
  // One of the pool could reach nothing so far.
  if (source.ready && share_.HasSlot()) RETURN_IF_ERROR(share_.SetPolicy(policy));
  RETURN_IF_ERROR(Machine()->Continue(deadline));
  phases.Mark("continue");
  return {};
}

// What is known of the layers already stays.
void Sandbox::NoteDisk(const disk::Layers& layers, LayerDigests more) {
  std::lock_guard lock(mutex_);
  more.merge(DigestsIn(record_.disk));
  record_.disk = DiskJson(layers, more);
}

std::shared_ptr<vmm::Machine> Sandbox::Machine() const {
  std::lock_guard lock(mutex_);
  return machine_;
}

std::shared_ptr<agent::Client> Sandbox::Agent() const {
  std::lock_guard lock(mutex_);
  return client_;
}

Status Sandbox::WaitForAgent(Deadline deadline, Phases& phases) {
  if (IsInterrupted()) return Fail(Code::kAborted, "interrupted");
  RETURN_IF_ERROR(Agent()->Connect(deadline));
  phases.Mark("agent");
  return {};
}

Status Sandbox::PrepareAgent(Deadline deadline, Phases& phases) {
  RETURN_IF_ERROR(WaitForAgent(deadline, phases));
  // The clock in it is read here, not before the wait.
  ASSIGN_OR_RETURN(const wire::InitReply reply, Agent()->Init(MakeInitRequest(record()), deadline));
  phases.Mark("init");
  phases.Note("agent_version", json::value(reply.version));
  return {};
}

// Also for a machine that has ended already: then the exit is handled as soon as the executor is
// free.
void Sandbox::TakeMachine(const std::shared_ptr<vmm::Machine>& machine,
                          std::shared_ptr<agent::Client> agent) {
  auto channel = machine->channel();
  auto signal = std::make_shared<ExitSignal>();
  {
    // An engine may find out what the host can do with its first machine.
    const vmm::EngineInfo& info = services_.engine.info();
    std::lock_guard lock(mutex_);
    record_.engine = info.name + "/" + info.acceleration;
    record_.machine = machine->Record();
    share_.Note(record_.machine);
    machine_ = machine;
    client_ = std::move(agent);
    exit_ = signal;
    orphan_ = false;
  }
  // The callback runs on the machine's own thread, so it must never hold the last reference to it.
  machine->OnExit([signal, channel, executor = executor_,
                   weak = weak_from_this()](const vmm::MachineExit& exit) {
    signal->Set(exit);
    channel->Close();
    executor->Post([weak, signal, exit] {
      if (const auto sandbox = weak.lock()) sandbox->HandleExit(signal, exit);
    });
  });
  machine->OnHold([executor = executor_, weak = weak_from_this()](const std::string& why) {
    executor->Post([weak, why] {
      if (const auto sandbox = weak.lock()) sandbox->HandleHold(why);
    });
  });
}

vmm::MachineConfig Sandbox::Place() const {
  vmm::MachineConfig config;
  config.id = id_;
  config.directory = files_.folder();
  config.runtime_directory = files_.runtime();
  return config;
}

vmm::MachineConfig Sandbox::Shape() const {
  const store::SandboxRecord now = record();
  vmm::MachineConfig config = Place();
  config.vcpus = now.vcpus;
  config.memory_mb = now.memory_mb;
  config.network = now.egress;
  return config;
}

std::string Sandbox::BaseImage() const {
  return template_::ImageFile(services_.config.paths, record().image);
}

Result<vmm::MachineConfig> Sandbox::Configuration() const {
  vmm::MachineConfig config = Shape();
  config.memory = files_.MemoryBase();
  ASSIGN_OR_RETURN(const disk::Layers layers, ParseDisk(record().disk));
  SetDisk(config, layers);
  config.disk_rate = services_.config.disk_rate;
  return config;
}

// What kept it from starting, in words for the one who asked; the console's end goes into the
// detail.
Error Sandbox::ExplainFailure(const Error& error) {
  std::shared_ptr<ExitSignal> signal;
  bool interrupted = false;
  {
    std::lock_guard lock(mutex_);
    signal = exit_;
    interrupted = interrupted_;
  }
  if (services_.closing) return {Code::kUnavailable, "the server is shutting down", {}};
  if (interrupted) return {Code::kAborted, "the sandbox was removed while it started", {}};

  std::optional<vmm::MachineExit> exit;
  if (signal) {
    // A broken channel is often the first that is seen of a machine's end.
    const bool broken = error.code == Code::kUnavailable;
    exit = signal->Wait(Deadline::After(broken ? kExitLag : milliseconds(0)));
  }
  Error explained{CodeForCaller(error.code), error.message, error.detail};
  if (exit) {
    explained.code = Code::kInternal;
    explained.message = "the machine ended while it started: " + WhyEnded(*exit);
    explained.detail = error.ToString();
  } else if (error.code == Code::kDeadlineExceeded) {
    explained.message = fmt::format("the guest did not answer within {} s",
                                    services_.config.boot_limit.count() / 1000);
    explained.detail = error.ToString();
  }
  const auto console = files_.ConsoleTail(kMaxText);
  if (console && !console->empty()) explained.detail += "\nconsole: " + *console;
  explained.message = CleanTail(explained.message);
  explained.detail = CleanTail(explained.detail, 2 * kMaxText);
  return explained;
}

Error Sandbox::UndoStart(const Error& why, Phases& phases) {
  Error error = ExplainFailure(why).WithContext("sandbox did not start");
  SetClosing(true);
  Status undone = TearDown(Leave::kNothing);
  if (undone) undone = RemoveRecord();
  phases.Mark("undo");
  phases.Note("error", json::value(error.detail));
  if (!undone) {
    // What is left has a record, so that it can be removed.
    (void)RecordFact({SandboxState::kError,
                      CleanTail(undone.error().WithContext(error.message).message), "create",
                      "failed"});
    phases.Note("undo_error", json::value(CleanTail(undone.error().ToString())));
    if (!IsLive()) services_.forget(id_);
  }
  services_.Tell(Severity::kWarning, id_, error.message, phases.Finish());
  return error;
}

}  // namespace wrenn::sandbox
