// How a sandbox comes up: from a template, or again after the server's restart.
#include "base/id.h"
#include "sandbox/sandbox.h"
#include "sandbox/text.h"
#include "wire/agent_api.h"

namespace wrenn::sandbox {
namespace {

using std::chrono::milliseconds;
using store::SandboxState;

// Of the console, in errors and journal lines.
constexpr size_t kConsoleTail = 2000;
// How long after its channel has broken a machine's end may be noticed.
constexpr milliseconds kExitLag{2'000};

Amount AmountOf(const store::SandboxRecord& record) {
  return {1, record.vcpus, record.memory_mb, record.disk_mb};
}

wire::InitRequest MakeInitRequest(const store::SandboxRecord& record) {
  wire::InitRequest request;
  request.access_token = record.agent_token;
  request.env_vars = record.envs;
  request.env_vars["WRENN_SANDBOX"] = "true";
  request.env_vars["WRENN_SANDBOX_ID"] = record.id;
  request.env_vars["WRENN_TEMPLATE"] = record.template_name;
  request.sandbox_id = record.id;
  request.hostname = record.id;
  request.machine_id = RandomHex(32);
  request.entropy = RandomBytes(64);
  request.timestamp = std::chrono::system_clock::now();
  return request;
}

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
      return code;
    default:
      return Code::kInternal;
  }
}

}  // namespace

Result<store::SandboxRecord> Sandbox::Start(const template_::Resolved& from,
                                            Reservation reservation) {
  Phases phases;
  reservation_ = std::move(reservation);
  store::SandboxRecord next = record();
  const Change intent{SandboxState::kStarting, "from template '" + next.template_name + "'",
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

  Status up = BringUp(from, phases);
  json::object times = phases.Finish();
  if (up) {
    next = record();
    next.state = SandboxState::kRunning;
    next.started_at = next.last_active_at = std::chrono::system_clock::now();
    const auto event = MakeEvent({SandboxState::kRunning, "", "create", "done", times});
    up = services_.store.UpdateSandbox(next, &event);
  }
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

Status Sandbox::BringUp(const template_::Resolved& from, Phases& phases) {
  const store::SandboxRecord planned = record();
  // Only now that the record names them are image and kernel safe from removal: look again.
  const auto still = services_.catalogue.Find(tenant_, planned.template_name);
  if (!still || still->record.image != planned.image || still->record.kernel != planned.kernel) {
    return Fail(Code::kAborted, "template '{}' has been changed meanwhile: try again",
                planned.template_name);
  }
  RETURN_IF_ERROR(files_.MakeFolders());
  ASSIGN_OR_RETURN([[maybe_unused]] const disk::Layer disk,
                   files_.MakeDisk(from.image, static_cast<uint64_t>(planned.disk_mb) << 20));
  phases.Mark("disk");

  vmm::MachineConfig config = Configuration();
  config.kernel = from.vmlinux;
  config.initramfs = from.initramfs;
  const Deadline deadline = Deadline::After(services_.config.boot_limit);
  ASSIGN_OR_RETURN(auto machine, services_.engine.Boot(config, deadline));
  TakeMachine(std::move(machine));
  {
    // An engine may find out what the host can do with its first machine.
    const vmm::EngineInfo& info = services_.engine.info();
    std::lock_guard lock(mutex_);
    record_.engine = info.name + "/" + info.acceleration;
  }
  RETURN_IF_ERROR(files_.WriteMachine(record().machine));
  phases.Mark("vmm");
  return PrepareAgent(deadline, phases);
}

Status Sandbox::PrepareAgent(Deadline deadline, Phases& phases) {
  std::shared_ptr<agent::Client> client;
  {
    std::lock_guard lock(mutex_);
    if (interrupted_) return Fail(Code::kAborted, "interrupted");
    client = client_;
  }
  // The first stream is made when the agent runs; until then this waits.
  ASSIGN_OR_RETURN(
      const UniqueFd first,
      client->channel().Connect(wire::kAgentPort, agent::Lane::kInteractive, deadline));
  phases.Mark("agent");
  // The clock in it is read here, not before the wait.
  ASSIGN_OR_RETURN(const wire::InitReply reply, client->Init(MakeInitRequest(record()), deadline));
  phases.Mark("init");
  phases.Note("agent_version", json::value(reply.version));
  return {};
}

// Also for a machine that has ended already: then the exit is handled as soon as the executor is
// free.
void Sandbox::TakeMachine(std::unique_ptr<vmm::Machine> machine) {
  std::shared_ptr<vmm::Machine> shared = std::move(machine);
  auto channel = shared->channel();
  auto signal = std::make_shared<ExitSignal>();
  {
    std::lock_guard lock(mutex_);
    record_.machine = shared->Record();
    machine_ = shared;
    // Without token until Init() has set it: a new guest has none, and for an adopted one see
    // Adopt().
    client_ = std::make_shared<agent::Client>(
        channel, record_.state == SandboxState::kRunning ? record_.agent_token : "");
    exit_ = signal;
    orphan_ = false;
  }
  // The callback runs on the machine's own thread, so it must never hold the last reference to it.
  shared->OnExit([signal, channel, executor = executor_,
                  weak = weak_from_this()](const vmm::MachineExit& exit) {
    signal->Set(exit);
    channel->Close();
    executor->Post([weak, exit] {
      if (const auto sandbox = weak.lock()) sandbox->HandleExit(exit);
    });
  });
}

vmm::MachineConfig Sandbox::Configuration() const {
  const store::SandboxRecord now = record();
  vmm::MachineConfig config;
  config.id = id_;
  config.directory = files_.folder();
  config.runtime_directory = files_.runtime();
  config.vcpus = now.vcpus;
  config.memory_mb = now.memory_mb;
  // None where a machine is ended whose disk is gone.
  if (const auto disk = files_.Disk()) {
    config.disk = files_.folder() + "/" + disk->name;
    config.disk_format =
        disk->format == disk::Format::kQcow2 ? vmm::DiskFormat::kQcow2 : vmm::DiskFormat::kRaw;
  }
  config.user_network = now.egress;
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
    explained.message = "the machine ended while it started: " + exit->reason;
    explained.detail = error.ToString();
  } else if (error.code == Code::kDeadlineExceeded) {
    explained.message = fmt::format("the guest did not answer within {} s",
                                    services_.config.boot_limit.count() / 1000);
    explained.detail = error.ToString();
  }
  const auto console = files_.ConsoleTail(kConsoleTail);
  if (console && !console->empty()) explained.detail += "\nconsole: " + *console;
  explained.message = CleanTail(explained.message, kConsoleTail);
  explained.detail = CleanTail(explained.detail, 2 * kConsoleTail);
  return explained.WithContext("sandbox did not start");
}

Error Sandbox::UndoStart(const Error& why, Phases& phases) {
  Error error = ExplainFailure(why);
  SetClosing(true);
  Status undone = TearDown(Leave::kNothing);
  if (undone) undone = RemoveRecord();
  phases.Mark("undo");
  phases.Note("error", json::value(error.detail));
  if (!undone) {
    // What is left has a record, so that it can be removed.
    (void)RecordFact({SandboxState::kError,
                      CleanTail(undone.error().WithContext(error.message).message, kConsoleTail),
                      "create", "failed"});
    phases.Note("undo_error", json::value(CleanTail(undone.error().ToString(), kConsoleTail)));
  }
  services_.Tell(Severity::kWarning, id_, error.message, phases.Finish());
  return error;
}

Status Sandbox::Adopt() {
  auto machine = services_.engine.Adopt(Configuration(), record().machine);
  if (!machine && machine.error().code == Code::kNotFound) {
    return Fail(Error{Code::kNotFound, "the machine ended while the server was away",
                      machine.error().ToString()});
  }
  if (!machine) return Fail(machine.error().WithContext("the machine could not be adopted"));
  TakeMachine(std::move(*machine));
  std::shared_ptr<agent::Client> client;
  {
    std::lock_guard lock(mutex_);
    client = client_;
  }
  if (auto health = client->Health(Deadline::After(services_.config.adopt_limit)); !health) {
    return Fail(health.error().WithContext("the guest did not answer after the server's restart"));
  }
  return {};
}

void Sandbox::Recover() {
  const store::SandboxRecord found = record();
  {
    // An ended one that has a machine is one that could not be ended.
    std::lock_guard lock(mutex_);
    orphan_ = !store::IsEnded(found.state) || !found.machine.empty();
  }
  if (!HoldsMachine()) return;
  Phases phases;
  if (found.state == SandboxState::kRunning) {
    reservation_ = services_.admission.Take(AmountOf(found));
    const Status adopted = Adopt();
    phases.Mark("adopt");
    if (adopted) {
      activity_.Touch();
      const auto event = MakeEvent({SandboxState::kRunning, "", "adopt", "done", phases.Finish()});
      (void)services_.store.AddEvent(event);  // it runs, whether the line could be written or not
      services_.Tell(Severity::kInfo, id_, "adopted", event.details);
      return;
    }
    const std::string reason = CleanTail(adopted.error().message, kConsoleTail);
    phases.Note("error", json::value(CleanTail(adopted.error().ToString(), kConsoleTail)));
    SetClosing(true);
    const Status torn = TearDown(Leave::kLogs);
    (void)RecordEnd({SandboxState::kError, reason, "adopt", "failed", phases.Finish()}, torn);
  } else if (found.state == SandboxState::kStarting) {
    const Status torn = TearDown(Leave::kLogs);
    (void)RecordEnd({SandboxState::kError, "the server ended while the sandbox was starting",
                     "create", "failed"},
                    torn);
  } else if (found.state == SandboxState::kStopping && found.reason == kRemovedReason) {
    (void)Destroy();
  } else if (found.state == SandboxState::kStopping) {
    const Status torn = TearDown(Leave::kLogs);
    (void)RecordEnd({SandboxState::kStopped, found.reason, "stop", "done"}, torn);
  } else {
    const Status torn = TearDown(Leave::kLogs);
    (void)RecordEnd({found.state, found.reason, "stop", "done"}, torn);
  }
}

}  // namespace wrenn::sandbox
