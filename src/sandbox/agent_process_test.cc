// The lifecycle with the real agent, which runs as an ordinary process and is reached over TCP.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <gmock/gmock.h>

#include "os/process.h"
#include "sandbox/manager_fixture.h"

namespace wrenn::sandbox {
namespace {

using store::SandboxState;

tl::unexpected<Error> NoSnapshots() {
  return Fail(Code::kUnimplemented, "a process is no machine that could be frozen");
}

// A machine that is a process: the agent itself.
class ProcessMachine final : public vmm::Machine {
 public:
  ProcessMachine(const vmm::MachineConfig& config, os::Process process, uint16_t port)
      : disk_(config.disk),
        process_(std::move(process)),
        channel_(agent::MakeTcpChannel("127.0.0.1", port)),
        port_(port),
        stop_(std::move(*MakeEventFd())),
        thread_([this] { Watch(); }) {}
  ~ProcessMachine() override {
    SignalEventFd(stop_.get());
    thread_.join();
  }

  json::object Record() const override {
    return {{"engine", "process"},
            {"pid", process_.pid()},
            {"start_time", process_.start_time()},
            {"port", port_}};
  }
  std::shared_ptr<agent::Channel> channel() override { return channel_; }
  std::shared_ptr<agent::Channel> NewChannel() override { return channel_; }
  void OnExit(std::function<void(const vmm::MachineExit&)> callback) override {
    std::unique_lock lock(mutex_);
    callback_ = std::move(callback);
    if (exit_) std::exchange(callback_, nullptr)(*exit_);
  }
  std::optional<vmm::MachineExit> exit() const override {
    std::lock_guard lock(mutex_);
    return exit_;
  }
  std::string Held() const override { return {}; }
  void OnHold(std::function<void(const std::string&)>) override {}
  Status Freeze(Deadline) override { return {}; }
  Status Continue(Deadline) override { return {}; }
  Status Kill(Deadline deadline) override {
    std::unique_lock lock(mutex_);
    RETURN_IF_ERROR(process_.Signal(SIGKILL));
    if (ended_.wait_until(lock, deadline.when(), [this] { return exit_.has_value(); })) return {};
    return Fail(Code::kDeadlineExceeded, "the agent has not ended in time");
  }
  uint64_t HostMemoryBytes() const override { return 0; }
  Result<memory::ProcessMemory> Memory() const override { return NoSnapshots(); }
  Status SaveState(const std::string&, Deadline) override { return NoSnapshots(); }
  Status PrepareDisk(const std::string&, Deadline) override { return NoSnapshots(); }
  Status DropDisk(const std::string&, Deadline) override { return NoSnapshots(); }
  Status SwitchDisk(const std::string&, Deadline) override { return NoSnapshots(); }
  Status ReplaceBelow(const std::string&, const std::vector<std::string>&, Deadline) override {
    return NoSnapshots();
  }
  Result<std::string> Disk(Deadline) override { return disk_; }

 private:
  void Watch() {
    pollfd entries[] = {{stop_.get(), POLLIN, 0}, {process_.pidfd(), POLLIN, 0}};
    while (::poll(entries, 2, -1) < 0) {
    }
    if (entries[1].revents == 0) return;
    std::function<void(const vmm::MachineExit&)> callback;
    {
      std::lock_guard lock(mutex_);
      const auto status = process_.Wait(Deadline::Never());  // has ended
      exit_ = vmm::MachineExit{status ? status->ToString() : "ended", false};
      callback = std::exchange(callback_, nullptr);
    }
    ended_.notify_all();
    if (callback) callback(*exit());
  }

  const std::string disk_;
  os::Process process_;
  const std::shared_ptr<agent::Channel> channel_;
  const uint16_t port_;
  const UniqueFd stop_;
  mutable std::mutex mutex_;
  std::condition_variable ended_;
  std::optional<vmm::MachineExit> exit_;
  std::function<void(const vmm::MachineExit&)> callback_;
  std::thread thread_;
};

class ProcessEngine final : public vmm::Engine {
 public:
  explicit ProcessEngine(std::string program) : program_(std::move(program)) {
    info_.name = "process";
  }
  const vmm::EngineInfo& info() const override { return info_; }
  Status Settle(const std::string&, const std::string&, Deadline) override { return {}; }

  Result<std::unique_ptr<vmm::Machine>> Boot(const vmm::MachineConfig& config,
                                             Deadline deadline) override {
    int pipe_fds[2];
    if (::pipe2(pipe_fds, O_CLOEXEC) < 0) return Fail(ErrnoError("pipe"));
    UniqueFd out(pipe_fds[0]);
    UniqueFd in(pipe_fds[1]);
    os::SpawnOptions options;
    options.argv = {program_, "--agent", "--listen", "127.0.0.1:0"};
    options.stdout_fd = in.get();
    ASSIGN_OR_RETURN(os::Process process, os::Process::Spawn(options));
    in.Reset();
    RETURN_IF_ERROR(SetNonBlocking(out.get()));
    // "listening on 127.0.0.1:PORT"
    std::string line;
    char byte = 0;
    while (byte != '\n') {
      ASSIGN_OR_RETURN(const size_t got, ReadSome(out.get(), {&byte, 1}, deadline));
      if (got == 0) return Fail(Code::kUnavailable, "the agent did not start: '{}'", line);
      line.push_back(byte);
    }
    const auto port = static_cast<uint16_t>(std::stoi(line.substr(line.rfind(':') + 1)));
    return std::make_unique<ProcessMachine>(config, std::move(process), port);
  }

  Result<std::unique_ptr<vmm::Machine>> Restore(const vmm::MachineConfig&, const std::string&,
                                                const FillMemory&, Deadline) override {
    return NoSnapshots();
  }
  json::object Fingerprint(const vmm::MachineConfig&) override { return {}; }
  Status CheckFingerprint(const vmm::MachineConfig&, const json::object&) override {
    return NoSnapshots();
  }

  Result<std::unique_ptr<vmm::Machine>> Adopt(const vmm::MachineConfig& config,
                                              const json::object& record) override {
    ASSIGN_OR_RETURN(os::Process process, Open(record));
    return std::make_unique<ProcessMachine>(
        config, std::move(process), static_cast<uint16_t>(record.at("port").to_number<int>()));
  }

  Status Reap(const vmm::MachineConfig&, const json::object& record) override {
    if (record.empty()) return {};
    auto process = Open(record);
    if (!process) return {};
    ASSIGN_OR_RETURN([[maybe_unused]] const auto status,
                     process->Kill(Deadline::After(seconds(10))));
    return {};
  }

 private:
  static Result<os::Process> Open(const json::object& record) {
    return os::Process::Open(record.at("pid").to_number<pid_t>(),
                             record.at("start_time").to_number<uint64_t>());
  }

  const std::string program_;
  vmm::EngineInfo info_;
};

class AgentProcessTest : public ManagerFixture {
 protected:
  void SetUp() override {
#ifdef WRENN_INIT_PROGRAM
    ManagerFixture::SetUp();
    process_engine_ = std::make_unique<ProcessEngine>(WRENN_INIT_PROGRAM);
    Restart();
#else
    GTEST_SKIP() << "built without wrenn-init";
#endif
  }

  void Restart() {
    manager_.reset();
    auto made = MakeManager(config_, *store_, *catalogue_, *process_engine_);
    ASSERT_TRUE(made);
    manager_ = std::move(*made);
    ASSERT_TRUE(manager_->Recover());
  }

  void TearDown() override {
    if (!manager_) return;
    manager_->Shutdown(AtShutdown::kStop, Deadline::After(seconds(20)));
    ManagerFixture::TearDown();
  }

  // What a command says.
  std::string Run(const std::string& id, const std::string& script) {
    const auto lease = manager_->Use(kTenant, id);
    if (!lease) return lease.error().ToString();
    const Deadline deadline = Deadline::After(seconds(60));
    wire::StartRequest request;
    request.process.cmd = "/bin/sh";
    request.process.args = {"-c", script};
    request.process.cwd = "/";
    request.stdin_open = false;
    auto started = (*lease)->agent().Start(request, {.user = "root"}, milliseconds(0), deadline);
    if (!started) return started.error().ToString();
    std::string output;
    for (;;) {
      const auto event = started->stream.Next(deadline);
      if (!event) return event.error().ToString();
      if (!*event) return output;
      if (const auto* piece = std::get_if<wire::ProcessOutput>(&**event)) output += piece->data;
    }
  }

  std::unique_ptr<ProcessEngine> process_engine_;
};

TEST_F(AgentProcessTest, RunsCommandsWithItsEnvironmentAlsoAfterARestart) {
  if (::geteuid() != 0) GTEST_SKIP() << "the agent starts processes as another user: needs root";
  CreateRequest request;
  request.timeout_sec = 0;
  request.envs = {{"COLOUR", "green"}};
  const auto made = manager_->Create(kTenant, request);
  ASSERT_TRUE(made) << made.error().ToString();
  const std::string expected = "green true " + made->id + "\n";
  const std::string script = "echo $COLOUR $WRENN_SANDBOX $WRENN_SANDBOX_ID";
  EXPECT_EQ(Run(made->id, script), expected);
  Restart();
  EXPECT_EQ(Run(made->id, script), expected);
}

// Longer than its timeout, also when the server that started it has gone, and a timeout more.
TEST_F(AgentProcessTest, ACommandThatIsLeftRunningKeepsItAwakeUntilItEnds) {
  if (::geteuid() != 0) GTEST_SKIP() << "the agent starts processes as another user: needs root";
  const auto leave = [this](const std::string& id, const std::string& script) {
    const auto lease = manager_->Use(kTenant, id);
    ASSERT_TRUE(lease);
    wire::StartRequest request;
    request.process.cmd = "/bin/sh";
    request.process.args = {"-c", script};
    request.process.cwd = "/";
    request.stdin_open = false;
    (*lease)->LeaveRunning(request);
    const Deadline deadline = Deadline::After(seconds(10));
    ASSERT_TRUE((*lease)->agent().Start(request, {.user = "root"}, milliseconds(0), deadline));
  };
  const std::string gate = folder_->path() + "/gate";
  const std::string works = Create(1);
  const std::string brief = Create(1);
  const auto begin = std::chrono::steady_clock::now();
  leave(works, "until [ -e " + gate + " ]; do sleep 0.05; done");
  leave(brief, "true");
  ASSERT_TRUE(WaitForState(brief, SandboxState::kStopped));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, seconds(2)) << "a timeout after its end";
  Restart();
  const std::string other = Create(1);
  ASSERT_TRUE(WaitForState(other, SandboxState::kStopped));
  EXPECT_EQ(Stored(works).state, SandboxState::kRunning);
  ASSERT_TRUE(WriteFileAtomically(gate, ""));
  EXPECT_TRUE(WaitForState(works, SandboxState::kStopped));
}

TEST_F(AgentProcessTest, ItsTokenKeepsOthersOut) {
  const std::string id = Create();
  const auto record = Stored(id);
  const auto port = static_cast<uint16_t>(record.machine.at("port").to_number<int>());
  agent::Client stranger(agent::MakeTcpChannel("127.0.0.1", port), "");
  const auto list = stranger.List(Deadline::After(seconds(10)));
  ASSERT_FALSE(list);
  EXPECT_EQ(list.error().code, Code::kUnauthenticated) << list.error().ToString();
}

TEST_F(AgentProcessTest, ItsDeathIsNoticedAndRecorded) {
  const std::string id = Create();
  ASSERT_EQ(::kill(Stored(id).machine.at("pid").to_number<pid_t>(), SIGKILL), 0);
  ASSERT_TRUE(WaitForState(id, SandboxState::kError));
  EXPECT_THAT(Stored(id).reason, ::testing::HasSubstr("signal 9"));
  EXPECT_EQ(manager_->Use(kTenant, id).error().code, Code::kAborted);
}

}  // namespace
}  // namespace wrenn::sandbox
