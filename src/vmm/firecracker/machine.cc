#include "vmm/firecracker/machine.h"

#include <poll.h>
#include <signal.h>

#include "base/io.h"
#include "os/process_info.h"
#include "vmm/firecracker/exit_reason.h"
#include "vmm/firecracker/runtime_files.h"
#include "vmm/firecracker/vsock_channel.h"
#include "vmm/wake_budget.h"

namespace wrenn::vmm {
namespace {

json::object MakeRecord(const FirecrackerParts& parts) {
  json::object record = ProcessJson(parts.process);
  record["engine"] = "firecracker";
  record["acceleration"] = "kvm";
  record["boot_id"] = os::BootId().value_or("");
  if (!parts.start_ms.empty()) record["start_ms"] = parts.start_ms;
  return record;
}

}  // namespace

Error NoFirecrackerSnapshots() {
  return {Code::kUnimplemented,
          "Firecracker machines cannot be paused, forked or made snapshots of yet: a server with "
          "--engine qemu can do all of it",
          {}};
}

Result<FirecrackerRecord> ParseFirecrackerRecord(const json::object& object) {
  RETURN_IF_ERROR(CheckRecordEngine(object, "firecracker"));
  JsonReader reader(object);
  FirecrackerRecord record;
  record.boot_id = reader.RequiredString("boot_id");
  record.vmm = ReadProcess(object, reader);
  RETURN_IF_ERROR(reader.Finish());
  return record;
}

Result<std::unique_ptr<FirecrackerMachine>> FirecrackerMachine::Start(FirecrackerParts parts) {
  ASSIGN_OR_RETURN(UniqueFd stop, MakeEventFd());
  std::unique_ptr<FirecrackerMachine> machine(
      new FirecrackerMachine(std::move(parts), std::move(stop)));
  machine->thread_ = std::thread([raw = machine.get()] { raw->Watch(); });
  return machine;
}

FirecrackerMachine::FirecrackerMachine(FirecrackerParts parts, UniqueFd stop)
    : parts_(std::move(parts)),
      record_(MakeRecord(parts_)),
      channel_(MakeVsockChannel(FirecrackerFiles(parts_.config.runtime_directory).Vsock())),
      stop_(std::move(stop)),
      memory_kills_before_(os::OutOfMemoryKills()) {}

FirecrackerMachine::~FirecrackerMachine() {
  SignalEventFd(stop_.get());
  thread_.join();
  channel_->Close();
}

void FirecrackerMachine::Watch() {
  WakeBudget budget;
  while (WatchOnce(!budget.Take())) {
  }
}

bool FirecrackerMachine::WatchOnce(bool quiet) {
  // poll() ignores entries below 0. When the budget is spent, only what ends matters for a while.
  CapturedOutput* const outputs[] = {&parts_.outputs.console, &parts_.outputs.messages,
                                     &parts_.outputs.metrics};
  std::vector<pollfd> entries = {{stop_.get(), POLLIN, 0}, {parts_.process.pidfd(), POLLIN, 0}};
  for (const CapturedOutput* output : outputs) {
    entries.push_back({quiet ? -1 : output->fd(), POLLIN, 0});
  }
  if (::poll(entries.data(), entries.size(), quiet ? WakeBudget::kQuietMs : -1) <= 0) return true;
  if (entries[0].revents != 0) return false;
  for (size_t i = 0; i < std::size(outputs); ++i) {
    if (entries[2 + i].revents != 0) outputs[i]->Read();
  }
  if (entries[1].revents == 0) return true;
  Finish();
  return false;
}

void FirecrackerMachine::Finish() {
  for (CapturedOutput* output :
       {&parts_.outputs.console, &parts_.outputs.messages, &parts_.outputs.metrics}) {
    output->ReadRest();
  }
  channel_->Close();
  FirecrackerEvidence evidence;
  {
    std::lock_guard lock(mutex_);
    evidence.status = parts_.process.Wait(Deadline::After({})).value_or(os::ExitStatus());
    evidence.killed =
        exit_.kill_requested() && (!evidence.status.known || evidence.status.signal == SIGKILL);
  }
  FirecrackerFiles(parts_.config.runtime_directory).Remove();
  evidence.console_tail = parts_.outputs.console.tail();
  evidence.messages_tail = parts_.outputs.messages.tail();
  evidence.memory_exhausted = os::OutOfMemoryKills() > memory_kills_before_;
  exit_.Set(ExplainFirecrackerExit(evidence));
}

Status FirecrackerMachine::Kill(Deadline deadline) {
  const auto signal = [this] {
    std::lock_guard lock(mutex_);
    return parts_.process.Signal(SIGKILL);
  };
  return exit_.Kill(signal, parts_.config.id, deadline);
}

uint64_t FirecrackerMachine::HostMemoryBytes() const {
  std::lock_guard lock(mutex_);
  if (exit_.Get()) return 0;
  return os::ProportionalMemoryBytes(parts_.process.pid()).value_or(0);
}

}  // namespace wrenn::vmm
