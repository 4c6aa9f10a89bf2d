#include "vmm/qemu/machine.h"

#include <poll.h>
#include <signal.h>

#include <cerrno>

#include "base/io.h"
#include "os/files.h"
#include "os/process_info.h"
#include "vmm/wake_budget.h"

namespace wrenn::vmm {
namespace {

using std::chrono::milliseconds;

// A machine whose write found no room on the host's disk waits for so much, looking so often.
constexpr uint64_t kRoomToGoOn = 16 << 20;
constexpr milliseconds kLookForRoom{500};
// For a command to be taken by a VMM that does nothing else.
constexpr milliseconds kPostLimit{1000};

std::shared_ptr<agent::Channel> MakeChannel(const MachineConfig& config) {
  const RuntimeFiles files(config.runtime_directory);
  return agent::MakeMuxChannel(files.Agent(0), files.Agent(1));
}

}  // namespace

json::object MakeRecord(const QemuParts& parts) {
  json::object record = ProcessJson(parts.process);
  record["engine"] = "qemu";
  record["acceleration"] = parts.kvm ? "kvm" : "tcg";
  record["boot_id"] = os::BootId().value_or("");
  json::array helpers;
  for (const os::Process& helper : parts.helpers) helpers.push_back(ProcessJson(helper));
  record["helpers"] = std::move(helpers);
  return record;
}

Result<QemuRecord> ParseRecord(const json::object& object) {
  RETURN_IF_ERROR(CheckRecordEngine(object, "qemu"));
  JsonReader reader(object);
  QemuRecord record;
  record.boot_id = reader.RequiredString("boot_id");
  record.kvm = reader.String("acceleration") == "kvm";
  record.vmm = ReadProcess(object, reader);
  if (const json::array* helpers = reader.Array("helpers")) {
    for (const json::value& helper : *helpers) {
      if (helper.is_object()) record.helpers.push_back(ReadProcess(helper.get_object(), reader));
    }
  }
  RETURN_IF_ERROR(reader.Finish());
  return record;
}

Result<std::unique_ptr<QemuMachine>> QemuMachine::Start(QemuParts parts) {
  ASSIGN_OR_RETURN(UniqueFd stop, MakeEventFd());
  auto machine = std::unique_ptr<QemuMachine>(new QemuMachine(std::move(parts), std::move(stop)));
  machine->thread_ = std::thread([raw = machine.get()] { raw->Watch(); });
  return machine;
}

QemuMachine::QemuMachine(QemuParts parts, UniqueFd stop)
    : parts_(std::move(parts)),
      record_(MakeRecord(parts_)),
      stop_(std::move(stop)),
      memory_kills_before_(os::OutOfMemoryKills()),
      channel_(MakeChannel(parts_.config)) {}

QemuMachine::~QemuMachine() {
  SignalEventFd(stop_.get());
  thread_.join();
  channel_->Close();
}

std::shared_ptr<agent::Channel> QemuMachine::channel() {
  std::lock_guard lock(mutex_);
  return channel_;
}

std::shared_ptr<agent::Channel> QemuMachine::NewChannel() {
  std::lock_guard lock(mutex_);
  return channel_ = MakeChannel(parts_.config);
}

void QemuMachine::Watch() {
  if (parts_.network_ended) {
    evidence_.network_end = "while no server watched it";
    EndForNetwork();
  }
  WakeBudget budget;
  while (WatchOnce(!budget.Take())) {
  }
}

bool QemuMachine::WatchOnce(bool quiet) {
  // poll() ignores entries below 0. When the budget is spent, only what ends matters for a while.
  const auto unless_quiet = [quiet](int fd) { return quiet ? -1 : fd; };
  std::vector<pollfd> entries = {{stop_.get(), POLLIN, 0},
                                 {parts_.process.pidfd(), POLLIN, 0},
                                 {qmp_open_ ? unless_quiet(parts_.vmm.qmp->fd()) : -1, POLLIN, 0},
                                 {unless_quiet(parts_.vmm.console.fd()), POLLIN, 0},
                                 {unless_quiet(parts_.vmm.messages.fd()), POLLIN, 0}};
  const size_t first_helper = entries.size();
  if (evidence_.network_end.empty()) {
    for (const os::Process& helper : parts_.helpers) entries.push_back({helper.pidfd(), POLLIN, 0});
  }
  const int awake_ms = held_ ? static_cast<int>(kLookForRoom.count()) : -1;
  const int ready = ::poll(entries.data(), entries.size(), quiet ? WakeBudget::kQuietMs : awake_ms);
  if (held_) TryToGoOn();
  if (ready <= 0) return true;
  if (entries[0].revents != 0) return false;
  if (entries[2].revents != 0) {
    qmp_open_ = parts_.vmm.qmp->Pump([this](const QmpEvent& event) { HandleEvent(event); });
  }
  if (entries[3].revents != 0) parts_.vmm.console.Read();
  if (entries[4].revents != 0) parts_.vmm.messages.Read();
  if (entries[1].revents == 0) {
    const auto ended = [](const pollfd& entry) { return entry.revents != 0; };
    if (std::any_of(entries.begin() + static_cast<ptrdiff_t>(first_helper), entries.end(), ended)) {
      EndWithNetwork();
    }
    return true;
  }
  Finish();
  return false;
}

void QemuMachine::EndWithNetwork() {
  // The network's processes end when the VMM does, and may be seen to a moment before it.
  constexpr milliseconds kMoment{1000};
  if (WaitReady(parts_.process.pidfd(), POLLIN, Deadline::After(kMoment))) return;
  {
    // One of them takes the other along: the one that did not end well is the reason.
    std::lock_guard lock(mutex_);
    std::erase_if(parts_.helpers, [this](os::Process& helper) {
      const auto status = helper.Wait(Deadline::After(milliseconds(0)));
      if (!status) return false;
      if (evidence_.network_end.empty() || !status->Success()) {
        evidence_.network_end = status->ToString();
      }
      return true;
    });
  }
  EndForNetwork();
}

// A guest with a dead network would be a sandbox that is not what its record says.
void QemuMachine::EndForNetwork() {
  parts_.vmm.messages.Read();
  parts_.vmm.messages.Note("its network ended: " + evidence_.network_end);
  std::lock_guard lock(mutex_);
  (void)parts_.process.Signal(SIGKILL);
}

void QemuMachine::HandleEvent(const QmpEvent& event) {
  JsonReader data(event.data);
  if (event.name == "SHUTDOWN") {
    evidence_.shutdown_reason = data.String("reason");
    if (evidence_.shutdown_reason.empty()) evidence_.shutdown_reason = "no reason given";
  } else if (event.name == "BLOCK_IO_ERROR" && data.String("action") == "stop") {
    // QEMU has stopped the machine at this write, and tries it again when it is let go on.
    if (data.Bool("nospace")) return SetHeld(true);
    evidence_.disk_error = true;
    std::lock_guard lock(mutex_);
    (void)parts_.process.Signal(SIGKILL);
  } else if (event.name == "RESUME") {
    SetHeld(false);
  } else if (event.name == "MIGRATION") {
    std::lock_guard lock(mutex_);
    migration_ = data.String("status");
    changed_.notify_all();
  }
}

void QemuMachine::TryToGoOn() {
  if (Deadline::Clock::now() < next_try_) return;
  next_try_ = Deadline::Clock::now() + kLookForRoom;
  const auto free = os::FreeDiskBytes(parts_.config.directory);
  if (!free || *free < kRoomToGoOn) return;
  std::lock_guard lock(mutex_);
  // Whoever froze it lets it go on.
  if (!frozen_) (void)parts_.vmm.qmp->Post("cont", Deadline::After(kPostLimit));
}

void QemuMachine::SetHeld(bool held) {
  if (held_.exchange(held) == held) return;
  std::unique_lock lock(mutex_);
  const auto callback = on_hold_;
  lock.unlock();
  if (callback) callback(Held());
}

void QemuMachine::OnHold(std::function<void(const std::string& why)> callback) {
  std::lock_guard lock(mutex_);
  on_hold_ = std::move(callback);
}

std::string QemuMachine::Held() const {
  if (!held_) return {};
  return "the host's disk is full; it goes on by itself as soon as there is room";
}

void QemuMachine::Finish() {
  // What it said last is still in the sockets; bounded, since it may have written a lot.
  for (int i = 0; i < 64 && qmp_open_; ++i) {
    qmp_open_ = parts_.vmm.qmp->Pump([this](const QmpEvent& event) { HandleEvent(event); });
  }
  parts_.vmm.console.ReadRest();
  parts_.vmm.messages.ReadRest();
  channel()->Close();
  {
    std::lock_guard lock(mutex_);
    evidence_.status =
        parts_.process.Wait(Deadline::After(milliseconds(0))).value_or(os::ExitStatus());
  }
  // They end by themselves when the VMM's end of their socket closes; but nobody else waits for
  // them.
  for (os::Process& helper : parts_.helpers) {
    (void)helper.Kill(Deadline::After(std::chrono::seconds(5)));
  }
  RuntimeFiles(parts_.config.runtime_directory).Remove();
  evidence_.killed =
      exit_.kill_requested() && (!evidence_.status.known || evidence_.status.signal == SIGKILL);
  evidence_.console_tail = parts_.vmm.console.tail();
  evidence_.stderr_tail = parts_.vmm.messages.tail();
  evidence_.memory_exhausted = os::OutOfMemoryKills() > memory_kills_before_;
  exit_.Set(ExplainExit(evidence_));
  std::lock_guard lock(mutex_);
  changed_.notify_all();
}

Status QemuMachine::Command(const std::string& command, json::object arguments, Deadline deadline) {
  ASSIGN_OR_RETURN([[maybe_unused]] const json::value done,
                   parts_.vmm.qmp->Execute(command, std::move(arguments), deadline));
  return {};
}

Status QemuMachine::LimitDisk(const DiskRate& rate, Deadline deadline) {
  if (rate.empty()) return {};
  return Command("block_set_io_throttle",
                 {{"id", "blk0"},
                  {"bps", rate.bytes},
                  {"bps_rd", 0},
                  {"bps_wr", 0},
                  {"iops", rate.operations},
                  {"iops_rd", 0},
                  {"iops_wr", 0}},
                 deadline);
}

Status QemuMachine::Freeze(Deadline deadline) {
  {
    std::lock_guard lock(mutex_);
    frozen_ = true;
  }
  return Command("stop", {}, deadline);
}

Status QemuMachine::Continue(Deadline deadline) {
  {
    std::lock_guard lock(mutex_);
    frozen_ = false;
  }
  RETURN_IF_ERROR(Command("cont", {}, deadline));
  // QEMU closes none while it stands still.
  if (state_descriptor_) (void)Command("remove-fd", {{"fdset-id", *state_descriptor_}}, deadline);
  state_descriptor_.reset();
  return {};
}

Status QemuMachine::Thaw(Deadline deadline) {
  ASSIGN_OR_RETURN(const json::value reply, parts_.vmm.qmp->Execute("query-status", {}, deadline));
  const json::object none;
  const std::string status =
      JsonReader(reply.is_object() ? reply.get_object() : none).String("status");
  // "io-error": a write found no space while nobody watched. It is tried again, and watched now.
  if (status != "paused" && status != "io-error") return {};
  return Continue(deadline);
}

Status QemuMachine::Kill(Deadline deadline) {
  const auto signal = [this] {
    std::lock_guard lock(mutex_);
    return parts_.process.Signal(SIGKILL);
  };
  return exit_.Kill(signal, parts_.config.id, deadline);
}

uint64_t QemuMachine::HostMemoryBytes() const {
  std::lock_guard lock(mutex_);
  if (exit_.Get()) return 0;
  uint64_t bytes = os::ProportionalMemoryBytes(parts_.process.pid()).value_or(0);
  for (const os::Process& helper : parts_.helpers) {
    bytes += os::ProportionalMemoryBytes(helper.pid()).value_or(0);
  }
  return bytes;
}

}  // namespace wrenn::vmm
