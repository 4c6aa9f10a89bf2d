// FakeEngine: machines without a VMM, for tests of what happens around them. Each has an agent that
// answers the few requests of the lifecycle, in this process; faults are switched on per machine.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/io.h"
#include "vmm/machine.h"
#include "wire/http_server.h"

namespace wrenn::sandbox {

// How a fake machine behaves.
struct FakeBehaviour {
  bool boot_fails = false;        // Boot() fails
  bool ends_at_once = false;      // the VMM ends before the agent answers
  bool agent_is_silent = false;   // no stream to the agent is ever made
  bool init_fails = false;        // the after-start step is answered with an error
  bool ignores_shutdown = false;  // the agent accepts the shutdown and nothing follows
  bool refuses_shutdown = false;  // the agent answers with an error
  bool unhealthy = false;         // GET /health is answered with an error
  bool unkillable = false;        // Kill() and Reap() run into their deadline
};

// What stands for the VMM process: it outlives the Machine objects, as a process would.
class FakeVm {
 public:
  explicit FakeVm(FakeBehaviour behaviour)
      : behaviour_(behaviour),
        agent_([this](wire::Exchange& exchange) { Answer(exchange); }),
        thread_([this] { Run(); }) {
    if (behaviour.ends_at_once) End({"guest panic: no init found", false});
  }
  ~FakeVm() {
    End({"test over", false});
    thread_.join();
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

 private:
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
  FakeMachine(std::string id, std::shared_ptr<FakeVm> vm)
      : id_(std::move(id)), vm_(std::move(vm)), channel_(std::make_shared<FakeChannel>(vm_)) {}
  ~FakeMachine() override { vm_->DropCallback(); }

  json::object Record() const override { return {{"engine", "fake"}, {"vm", id_}}; }
  std::shared_ptr<agent::Channel> channel() override { return channel_; }
  void OnExit(std::function<void(const vmm::MachineExit&)> callback) override {
    vm_->OnExit(std::move(callback));
  }
  std::optional<vmm::MachineExit> exit() const override { return vm_->exit(); }
  Status Freeze(Deadline) override { return {}; }
  Status Continue(Deadline) override { return {}; }
  Status Kill(Deadline deadline) override { return vm_->Kill(deadline); }
  uint64_t HostMemoryBytes() const override { return 12345; }

 private:
  const std::string id_;
  const std::shared_ptr<FakeVm> vm_;
  const std::shared_ptr<FakeChannel> channel_;
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
    return vms_[id] = std::make_shared<FakeVm>(behaviour_);
  }
  int alive() const {
    std::lock_guard lock(mutex_);
    int count = 0;
    for (const auto& [id, vm] : vms_) count += vm->alive();
    return count;
  }
  int boots() const { return boots_; }
  int most_boots_at_once() const { return most_booting_; }
  // Called within each Boot().
  std::function<void(const vmm::MachineConfig&)> on_boot;

  const vmm::EngineInfo& info() const override { return info_; }

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
    const auto vm = std::make_shared<FakeVm>(behaviour_);
    vms_[config.id] = vm;
    lock.unlock();
    (void)WriteFileAtomically(config.directory + "/console.log", "hello from \xff the guest\n");
    (void)WriteFileAtomically(config.runtime_directory + "/qmp", "");
    return std::make_unique<FakeMachine>(config.id, vm);
  }

  Result<std::unique_ptr<vmm::Machine>> Adopt(const vmm::MachineConfig& config,
                                              const json::object& record) override {
    const auto vm = Find(config.id);
    if (!vm || !vm->alive() || record.empty()) return Fail(Code::kNotFound, "no such process");
    return std::make_unique<FakeMachine>(config.id, vm);
  }

  Status Reap(const vmm::MachineConfig& config, const json::object&) override {
    const auto vm = Find(config.id);
    if (vm && vm->alive()) return vm->Kill(Deadline::After(std::chrono::seconds(10)));
    return {};
  }

 private:
  mutable std::mutex mutex_;
  FakeBehaviour behaviour_;
  std::map<std::string, std::shared_ptr<FakeVm>> vms_;
  vmm::EngineInfo info_;
  std::atomic<int> boots_ = 0;
  std::atomic<int> booting_ = 0;
  std::atomic<int> most_booting_ = 0;
};

}  // namespace wrenn::sandbox
