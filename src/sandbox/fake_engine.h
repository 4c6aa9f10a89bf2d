// FakeEngine: machines without a VMM, for tests of what happens around them. Each has an agent that
// answers the few requests of the lifecycle, in this process, and memory that is mapped and written
// as a VMM's is; faults are switched on per machine.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/io.h"
#include "os/files.h"
#include "vmm/machine.h"
#include "wire/http_server.h"

namespace wrenn::sandbox {

// The disk of machines that an earlier server left.
inline constexpr const char* kLeftDisk = "disk-0123456789abcdefghij.qcow2";

// How a fake machine behaves.
struct FakeBehaviour {
  bool boot_fails = false;          // Boot() fails
  bool ends_at_once = false;        // the VMM ends before the agent answers
  bool agent_is_silent = false;     // no stream to the agent is ever made
  bool init_fails = false;          // the after-start step is answered with an error
  bool ignores_shutdown = false;    // the agent accepts the shutdown and nothing follows
  bool refuses_shutdown = false;    // the agent answers with an error
  bool unhealthy = false;           // GET /health is answered with an error
  bool held = false;                // Held()
  bool unkillable = false;          // Kill() and Reap() run into their deadline
  bool state_fails = false;         // SaveState() fails, and nothing is left of it
  bool switch_fails = false;        // SwitchDisk() fails
  bool switch_half_fails = false;   // ... after it has switched
  bool disk_is_secret = false;      // Disk() fails
  bool restore_fails = false;       // Restore() fails ...
  Code why = Code::kDataLoss;       // ... with this
  bool replace_fails = false;       // ReplaceBelow() fails at its beginning
  bool replace_half_fails = false;  // ... after it has written the header
};

// What stands for the VMM process: it outlives the Machine objects, as a process would.
class FakeVm {
 public:
  FakeVm(FakeBehaviour behaviour, const vmm::MachineConfig& config)
      : behaviour_(behaviour),
        disk_(config.disk),
        memory_bytes_(static_cast<size_t>(config.memory_mb) << 20),
        memory_(Map(config.memory, memory_bytes_)),
        agent_([this](wire::Exchange& exchange) { Answer(exchange); }),
        thread_([this] { Run(); }) {
    if (behaviour.ends_at_once) End({"guest panic: no init found", false});
  }
  ~FakeVm() {
    End({"test over", false});
    thread_.join();
    if (!memory_.empty()) ::munmap(memory_.data(), memory_.size());
  }

  // What the guest would see as its RAM; empty for a machine that was started without a base.
  std::span<char> memory() { return memory_; }
  std::string disk() const {
    std::lock_guard lock(mutex_);
    return disk_;
  }
  Status SwitchDisk(const std::string& path) {
    std::lock_guard lock(mutex_);
    if (behaviour_.switch_fails) return Fail(Code::kInternal, "the disk cannot be switched");
    disk_ = path;
    return behaviour_.switch_half_fails ? Fail(Code::kInternal, "who knows what it did") : Status();
  }
  // As QEMU: the header of the layer that is written to names another below.
  Status ReplaceBelow(const std::string& merged) {
    std::lock_guard lock(mutex_);
    if (behaviour_.replace_fails) return Fail(Code::kInternal, "the layer cannot be replaced");
    ASSIGN_OR_RETURN(const std::string content, ReadFile(disk_));
    const std::string now = "./" + merged.substr(merged.rfind('/') + 1);
    const size_t at = content.find("./disk-");  // all names are of one length
    if (at == std::string::npos) return Fail(Code::kInternal, "nothing is below the disk's layer");
    const UniqueFd fd(::open(disk_.c_str(), O_WRONLY | O_CLOEXEC));
    if (::pwrite(fd.get(), now.data(), now.size(), static_cast<off_t>(at)) < 0) {
      return Fail(ErrnoError("cannot write the disk's layer"));
    }
    ++replaced;
    return behaviour_.replace_half_fails ? Fail(Code::kInternal, "the disk cannot be opened again")
                                         : Status();
  }
  FakeBehaviour behaviour() const {
    std::lock_guard lock(mutex_);
    return behaviour_;
  }

  // Ends the machine, as from inside or by somebody else's kill.
  void End(vmm::MachineExit exit) {
    {
      std::lock_guard lock(mutex_);
      if (!ending_) ending_ = std::move(exit);
    }
    changed_.notify_all();
  }

  Status Kill(Deadline deadline) {
    {
      std::lock_guard lock(mutex_);
      if (behaviour_.unkillable)
        return Fail(Code::kDeadlineExceeded, "the VMM has not ended in time");
    }
    ++kills;
    End({"killed by request", false});
    std::unique_lock lock(mutex_);
    const auto ended = [this] { return exit_.has_value(); };
    if (!changed_.wait_until(lock, deadline.when(), ended)) {
      return Fail(Code::kDeadlineExceeded, "the VMM has not ended in time");
    }
    return {};
  }

  void OnExit(std::function<void(const vmm::MachineExit&)> callback) {
    std::unique_lock lock(mutex_);
    on_exit_ = std::move(callback);
    if (!exit_ || !on_exit_) return;
    callback = std::exchange(on_exit_, nullptr);
    const vmm::MachineExit exit = *exit_;
    lock.unlock();
    callback(exit);
  }
  // Waits for a callback under way: afterwards none is called.
  void DropCallback() {
    std::unique_lock lock(mutex_);
    on_exit_ = nullptr;
    changed_.wait(lock, [this] { return !calling_; });
  }

  std::optional<vmm::MachineExit> exit() const {
    std::lock_guard lock(mutex_);
    return exit_;
  }
  bool alive() const { return !exit(); }
  void Set(FakeBehaviour behaviour) {
    std::lock_guard lock(mutex_);
    behaviour_ = behaviour;
  }

  // A stream to the agent; waits as long as there is none to be had.
  Result<UniqueFd> Connect(const std::atomic<bool>& closed, Deadline deadline) {
    std::unique_lock lock(mutex_);
    const auto over = [&] { return ending_ || closed || !behaviour_.agent_is_silent; };
    if (!changed_.wait_until(lock, deadline.when(), over)) {
      return Fail(Code::kDeadlineExceeded, "timed out");
    }
    if (ending_ || closed) return Fail(Code::kUnavailable, "the channel to the guest is closed");
    ASSIGN_OR_RETURN(auto pair, SocketPair());
    agent_.Serve(std::move(pair.second));
    return std::move(pair.first);
  }
  void Wake() { changed_.notify_all(); }

  json::object last_init() const {
    std::lock_guard lock(mutex_);
    return last_init_;
  }

  std::atomic<int> kills = 0;
  std::atomic<int> replaced = 0;
  std::atomic<bool> frozen = false;

 private:
  static std::span<char> Map(const std::string& path, size_t bytes) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return {};
    void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd.get(), 0);
    if (at == MAP_FAILED) return {};
    return {static_cast<char*>(at), bytes};
  }

  void Answer(wire::Exchange& exchange) {
    std::unique_lock lock(mutex_);
    const FakeBehaviour behaviour = behaviour_;
    lock.unlock();
    const std::string_view path = exchange.request().path();
    const auto body = exchange.body().ReadAll(1 << 20, exchange.WriteDeadline());
    if (path == "/init" && !behaviour.init_fails && body) {
      if (auto init = ParseJsonObject(*body)) {
        lock.lock();
        last_init_ = *init;
        lock.unlock();
      }
      (void)exchange.Respond(200, "application/json", R"({"protocol":1,"version":"fake"})");
    } else if (path == "/sync") {
      (void)exchange.RespondEmpty(204);
    } else if (path == "/health" && !behaviour.unhealthy) {
      (void)exchange.RespondEmpty(204);
    } else if (path == "/shutdown" && !behaviour.refuses_shutdown) {
      (void)exchange.RespondEmpty(204);
      if (!behaviour.ignores_shutdown) End({"guest shut down", true});
    } else {
      (void)exchange.Respond(500, "application/json",
                             R"({"code":"internal","message":"as the test wants it"})");
    }
  }

  void Run() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ending_.has_value(); });
    lock.unlock();
    agent_.Stop();
    lock.lock();
    exit_ = ending_;
    const auto callback = std::exchange(on_exit_, nullptr);
    calling_ = true;
    const vmm::MachineExit exit = *exit_;
    lock.unlock();
    changed_.notify_all();
    if (callback) callback(exit);
    lock.lock();
    calling_ = false;
    lock.unlock();
    changed_.notify_all();
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  FakeBehaviour behaviour_;
  std::string disk_;
  const size_t memory_bytes_;
  const std::span<char> memory_;
  std::optional<vmm::MachineExit> ending_;
  std::optional<vmm::MachineExit> exit_;
  std::function<void(const vmm::MachineExit&)> on_exit_;
  bool calling_ = false;
  json::object last_init_;
  wire::HttpServer agent_;
  std::thread thread_;
};

class FakeChannel final : public agent::Channel {
 public:
  explicit FakeChannel(std::shared_ptr<FakeVm> vm) : vm_(std::move(vm)) {}
  Result<UniqueFd> Connect(uint16_t, agent::Lane, Deadline deadline) override {
    return vm_->Connect(closed_, deadline);
  }
  void Close() override {
    closed_ = true;
    vm_->Wake();
  }

 private:
  const std::shared_ptr<FakeVm> vm_;
  std::atomic<bool> closed_ = false;
};

class FakeMachine final : public vmm::Machine {
 public:
  FakeMachine(const vmm::MachineConfig& config, std::shared_ptr<FakeVm> vm)
      : id_(config.id), vm_(std::move(vm)), channel_(std::make_shared<FakeChannel>(vm_)) {}
  ~FakeMachine() override { vm_->DropCallback(); }

  json::object Record() const override { return {{"engine", "fake"}, {"vm", id_}}; }
  std::shared_ptr<agent::Channel> channel() override { return channel_; }
  std::shared_ptr<agent::Channel> NewChannel() override {
    return channel_ = std::make_shared<FakeChannel>(vm_);
  }
  void OnExit(std::function<void(const vmm::MachineExit&)> callback) override {
    vm_->OnExit(std::move(callback));
  }
  std::optional<vmm::MachineExit> exit() const override { return vm_->exit(); }
  std::string Held() const override {
    return vm_->behaviour().held ? "it is held for the test" : "";
  }
  void OnHold(std::function<void(const std::string&)>) override {}
  Status Freeze(Deadline) override { return SetFrozen(true); }
  Status Continue(Deadline) override { return SetFrozen(false); }
  Status Kill(Deadline deadline) override { return vm_->Kill(deadline); }
  uint64_t HostMemoryBytes() const override { return 12345; }

  Result<memory::ProcessMemory> Memory() const override {
    const auto address = reinterpret_cast<uint64_t>(vm_->memory().data());
    return memory::ProcessMemory(::getpid(), {{address, vm_->memory().size(), 0}});
  }
  Status SaveState(const std::string& path, Deadline) override {
    if (!vm_->frozen) return Fail(Code::kInternal, "a running machine has no state");
    if (vm_->behaviour().state_fails) return Fail(Code::kInternal, "the state cannot be saved");
    return WriteFileAtomically(path, "state of a fake");
  }
  Status PrepareDisk(const std::string& path, Deadline) override {
    if (os::Exists(path)) return {};
    return Fail(Code::kInternal, "there is no such layer");
  }
  Status DropDisk(const std::string&, Deadline) override { return {}; }
  Status SwitchDisk(const std::string& path, Deadline) override {
    if (!vm_->frozen) return Fail(Code::kInternal, "the disk of a running machine was switched");
    return vm_->SwitchDisk(path);
  }
  Status ReplaceBelow(const std::string& merged, const std::vector<std::string>&,
                      Deadline) override {
    return vm_->ReplaceBelow(merged);
  }
  Result<std::string> Disk(Deadline) override {
    if (vm_->behaviour().disk_is_secret) return Fail(Code::kDeadlineExceeded, "timed out");
    return vm_->disk();
  }

 private:
  Status SetFrozen(bool frozen) {
    if (!vm_->alive()) return Fail(Code::kUnavailable, "the VMM has ended");
    vm_->frozen = frozen;
    return {};
  }

  const std::string id_;
  const std::shared_ptr<FakeVm> vm_;
  std::shared_ptr<FakeChannel> channel_;
};

// Thread-safe.
class FakeEngine final : public vmm::Engine {
 public:
  FakeEngine() {
    info_.name = "fake";
    info_.acceleration = "none";
    info_.user_network_explanation = "there is none in tests";
  }

  // Of machines that are booted from now on.
  void Set(FakeBehaviour behaviour) {
    std::lock_guard lock(mutex_);
    behaviour_ = behaviour;
  }
  std::shared_ptr<FakeVm> Find(const std::string& id) const {
    std::lock_guard lock(mutex_);
    const auto found = vms_.find(id);
    return found == vms_.end() ? nullptr : found->second;
  }
  // A machine of an earlier server's.
  std::shared_ptr<FakeVm> Add(const std::string& id) {
    std::lock_guard lock(mutex_);
    vmm::MachineConfig config;
    config.disk = std::string("/") + kLeftDisk;
    return vms_[id] = std::make_shared<FakeVm>(behaviour_, config);
  }
  int alive() const {
    std::lock_guard lock(mutex_);
    int count = 0;
    for (const auto& [id, vm] : vms_) count += vm->alive();
    return count;
  }
  int boots() const { return boots_; }
  int restores() const { return restores_; }
  int most_boots_at_once() const { return most_booting_; }
  // The engine's version, as far as snapshots see it.
  std::string build = "1";
  // From the next manager on: one whose machines are given network slots and cannot be frozen.
  void NeedSlots() {
    info_.needs_slot = true;
    info_.snapshots = false;
    info_.snapshots_explanation = "there are none in this test";
  }
  // Called within each Boot().
  std::function<void(const vmm::MachineConfig&)> on_boot;

  const vmm::EngineInfo& info() const override { return info_; }
  Status Settle(const std::string&, const std::string&, Deadline) override { return {}; }

  Result<std::unique_ptr<vmm::Machine>> Boot(const vmm::MachineConfig& config, Deadline) override {
    ++boots_;
    const int now = ++booting_;
    for (int most = most_booting_; now > most && !most_booting_.compare_exchange_weak(most, now);) {
    }
    if (on_boot) on_boot(config);
    std::unique_lock lock(mutex_);
    --booting_;
    if (behaviour_.boot_fails) {
      return Fail(Error{Code::kNotFound, "the VMM cannot be started", "no such file"});
    }
    return Make(config);
  }

  // Frozen, with its state loaded, as an engine leaves it.
  Result<std::unique_ptr<vmm::Machine>> Restore(const vmm::MachineConfig& config,
                                                const std::string& state, const FillMemory& fill,
                                                Deadline) override {
    ++restores_;
    std::lock_guard lock(mutex_);
    ASSIGN_OR_RETURN(const std::string content, ReadFile(state, 1000));
    if (behaviour_.restore_fails || content != "state of a fake") {
      return Fail(behaviour_.why, "the VMM could not load the machine's state");
    }
    auto machine = Make(config);
    vms_[config.id]->frozen = true;
    ASSIGN_OR_RETURN(const memory::ProcessMemory memory, machine->Memory());
    if (Status filled = fill(memory); !filled) {
      vms_[config.id]->End({"its memory could not be filled", false});
      return Fail(std::move(filled.error()));
    }
    return machine;
  }
  json::object Fingerprint(const vmm::MachineConfig& config) override {
    return {{"build", build}, {"memory_mb", config.memory_mb}};
  }
  Status CheckFingerprint(const vmm::MachineConfig& config, const json::object& kept) override {
    if (kept == Fingerprint(config)) return {};
    return Fail(Code::kFailedPrecondition, "the snapshot was made with another engine");
  }

  Result<std::unique_ptr<vmm::Machine>> Adopt(const vmm::MachineConfig& config,
                                              const json::object& record) override {
    const auto vm = Find(config.id);
    if (!vm || !vm->alive() || record.empty()) return Fail(Code::kNotFound, "no such process");
    return std::make_unique<FakeMachine>(config, vm);
  }

  Status Reap(const vmm::MachineConfig& config, const json::object&) override {
    const auto vm = Find(config.id);
    if (vm && vm->alive()) return vm->Kill(Deadline::After(std::chrono::seconds(10)));
    return {};
  }

 private:
  // The lock is held.
  std::unique_ptr<vmm::Machine> Make(const vmm::MachineConfig& config) {
    const auto vm = std::make_shared<FakeVm>(behaviour_, config);
    vms_[config.id] = vm;
    (void)WriteFileAtomically(config.directory + "/console.log", "hello from \xff the guest\n");
    (void)WriteFileAtomically(config.runtime_directory + "/qmp", "");
    return std::make_unique<FakeMachine>(config, vm);
  }

  mutable std::mutex mutex_;
  FakeBehaviour behaviour_;
  std::map<std::string, std::shared_ptr<FakeVm>> vms_;
  vmm::EngineInfo info_;
  std::atomic<int> boots_ = 0;
  std::atomic<int> restores_ = 0;
  std::atomic<int> booting_ = 0;
  std::atomic<int> most_booting_ = 0;
};

}  // namespace wrenn::sandbox
