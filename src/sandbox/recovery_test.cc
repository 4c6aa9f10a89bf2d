#include "sandbox/recovery.h"

#include <gmock/gmock.h>

#include "base/id.h"
#include "sandbox/manager_fixture.h"
#include "sandbox/sandbox_files.h"

namespace wrenn::sandbox {
namespace {

using store::SandboxState;
using ::testing::HasSubstr;

class RecoveryTest : public ManagerFixture {
 protected:
  void SetUp() override {
    ManagerFixture::SetUp();
    config_.adopt_limit = milliseconds(2'000);
  }

  // What a server that was killed leaves of a sandbox in this state.
  std::string Leave(SandboxState state, bool alive, const std::string& reason = "") {
    store::SandboxRecord record;
    record.id = NewId("sb");
    record.state = state;
    record.reason = reason;
    record.template_name = "minimal";
    record.disk_backend = "qcow2";
    record.memory_mb = 128;
    record.agent_token = "token";
    record.disk = DiskJson({{kLeftDisk}});
    record.created_at = std::chrono::system_clock::now();
    // While it starts, only the file knows the machine.
    const json::object machine{{"engine", "fake"}, {"vm", record.id}};
    if (state != SandboxState::kStarting) record.machine = machine;
    store::EventRecord event;
    event.sandbox_id = record.id;
    event.kind = "test";
    EXPECT_TRUE(real_store_->AddSandbox(record, event));
    LeaveFiles(record.id, machine);
    if (alive) engine_->Add(record.id);
    return record.id;
  }

  void LeaveFiles(const std::string& id, const json::object& machine) {
    const std::string folder = config_.paths.Sandbox(id);
    ASSERT_TRUE(os::MakeDirectory(folder));
    ASSERT_TRUE(os::MakeDirectory(config_.paths.SandboxRuntime(id)));
    ASSERT_TRUE(WriteFileAtomically(config_.paths.SandboxRuntime(id) + "/qmp", ""));
    for (const std::string name : {kLeftDisk, "console.log"}) {
      ASSERT_TRUE(WriteFileAtomically(folder + "/" + name, "left"));
    }
    ASSERT_TRUE(WriteFileAtomically(folder + "/machine.json", json::serialize(machine)));
  }

  // Its machine, sockets and disk are gone, its console is there.
  void ExpectEnded(const std::string& id) {
    EXPECT_EQ(engine_->alive(), 0);
    EXPECT_FALSE(os::Exists(config_.paths.SandboxRuntime(id)));
    EXPECT_TRUE(disk::FindLayers(config_.paths.Sandbox(id))->empty());
    EXPECT_TRUE(os::Exists(config_.paths.Sandbox(id) + "/console.log"));
    EXPECT_TRUE(Stored(id).machine.empty());
    EXPECT_TRUE(Stored(id).ended_at);
    EXPECT_EQ(manager_->totals().sandboxes, 0);
  }
};

TEST_F(RecoveryTest, StartingBecomesAnErrorWhateverRuns) {
  for (const bool alive : {true, false}) {
    const std::string id = Leave(SandboxState::kStarting, alive);
    StartManager();
    EXPECT_EQ(Stored(id).state, SandboxState::kError);
    EXPECT_THAT(Stored(id).reason, HasSubstr("while the sandbox was starting"));
    ExpectEnded(id);
  }
}

TEST_F(RecoveryTest, RunningAndAliveIsAdopted) {
  const std::string id = Leave(SandboxState::kRunning, true);
  StartManager();
  EXPECT_EQ(Stored(id).state, SandboxState::kRunning);
  EXPECT_TRUE(HasEvent(id, "adopt", "done"));
  EXPECT_EQ(manager_->totals().memory_mb, 128);
  auto lease = manager_->Use(kTenant, id);
  ASSERT_TRUE(lease) << lease.error().ToString();
  EXPECT_TRUE((*lease)->agent().Health(Deadline::After(seconds(10))));
  lease->reset();
  // Its end is noticed as if it had been started here.
  engine_->Find(id)->End({"VMM killed by signal 9", false});
  ASSERT_TRUE(WaitForState(id, SandboxState::kError));
  EXPECT_EQ(Stored(id).reason, "VMM killed by signal 9");
}

TEST_F(RecoveryTest, RunningAndDeadBecomesAnError) {
  const std::string id = Leave(SandboxState::kRunning, false);
  StartManager();
  EXPECT_EQ(Stored(id).state, SandboxState::kError);
  EXPECT_EQ(Stored(id).reason, "the machine ended while the server was away");
  ExpectEnded(id);
}

TEST_F(RecoveryTest, RunningWithADeafAgentBecomesAnError) {
  config_.adopt_limit = milliseconds(200);
  engine_->Set({.agent_is_silent = true});
  const std::string silent = Leave(SandboxState::kRunning, true);
  StartManager();
  EXPECT_EQ(Stored(silent).state, SandboxState::kError);
  EXPECT_THAT(Stored(silent).reason, HasSubstr("did not answer after the server's restart"));
  ExpectEnded(silent);

  engine_->Set({.unhealthy = true});
  const std::string ill = Leave(SandboxState::kRunning, true);
  StartManager();
  EXPECT_EQ(Stored(ill).state, SandboxState::kError);
  ExpectEnded(ill);
}

TEST_F(RecoveryTest, DeafAgentsAreWaitedForInParallel) {
  config_.adopt_limit = seconds(1);
  engine_->Set({.agent_is_silent = true});
  for (int i = 0; i < 10; ++i) Leave(SandboxState::kRunning, true);
  const auto begin = std::chrono::steady_clock::now();
  StartManager();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 8 * config_.adopt_limit);
  EXPECT_EQ(engine_->alive(), 0);
}

TEST_F(RecoveryTest, StoppingIsFinished) {
  for (const bool alive : {true, false}) {
    const std::string id = Leave(SandboxState::kStopping, alive, "asked to");
    StartManager();
    EXPECT_EQ(Stored(id).state, SandboxState::kStopped);
    EXPECT_EQ(Stored(id).reason, "asked to");
    ExpectEnded(id);
  }
}

TEST_F(RecoveryTest, RemovingIsFinished) {
  for (const bool alive : {true, false}) {
    Leave(SandboxState::kStopping, alive, kRemovedReason);
    StartManager();
    ExpectNothingLeft();
  }
}

TEST_F(RecoveryTest, EndedOnesStayAsTheyAre) {
  const std::string id = Leave(SandboxState::kStopped, false, "asked to");
  auto record = Stored(id);
  record.machine.clear();
  record.ended_at = std::chrono::system_clock::now();
  ASSERT_TRUE(real_store_->UpdateSandbox(record, nullptr));
  StartManager();
  EXPECT_EQ(Stored(id).version, record.version);
  EXPECT_TRUE(os::Exists(config_.paths.Sandbox(id) + "/console.log"));
  EXPECT_TRUE(RuntimeFolders().empty());
  EXPECT_TRUE(manager_->Destroy(kTenant, id));
  ExpectNothingLeft();
}

TEST_F(RecoveryTest, AMachineThatCouldNotBeEndedIsTriedAgain) {
  const std::string id = Leave(SandboxState::kError, true, "the machine could not be ended");
  StartManager();
  EXPECT_EQ(Stored(id).state, SandboxState::kError);
  ExpectEnded(id);
}

TEST_F(RecoveryTest, WhatHasNoRecordIsEndedAndRemoved) {
  const std::string alive = NewId("sb");
  LeaveFiles(alive, {{"engine", "fake"}, {"vm", alive}});
  engine_->Add(alive);
  const std::string sockets_only = NewId("sb");
  ASSERT_TRUE(os::MakeDirectory(config_.paths.SandboxRuntime(sockets_only)));
  const std::string broken = NewId("sb");
  LeaveFiles(broken, {});
  ASSERT_TRUE(WriteFileAtomically(config_.paths.Sandbox(broken) + "/machine.json", "{\"pid"));
  // Not ours: a name that is no id is left alone.
  ASSERT_TRUE(os::MakeDirectory(config_.paths.Sandboxes() + "/lost+found"));
  StartManager();
  EXPECT_EQ(Folders(), std::vector<std::string>{"lost+found"});
  EXPECT_TRUE(RuntimeFolders().empty());
  EXPECT_EQ(engine_->alive(), 0);
}

TEST_F(RecoveryTest, ARestartKeepsEveryRunningSandbox) {
  StartManager();
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(Create());
  for (int restart = 0; restart < 3; ++restart) {
    StartManager();
    EXPECT_EQ(manager_->totals().sandboxes, 5);
    for (const auto& id : ids) {
      auto lease = manager_->Use(kTenant, id);
      ASSERT_TRUE(lease) << lease.error().ToString();
      EXPECT_TRUE((*lease)->agent().Health(Deadline::After(seconds(10))));
    }
  }
  for (const auto& id : ids) EXPECT_TRUE(manager_->Destroy(kTenant, id));
  ExpectNothingLeft();
}

}  // namespace
}  // namespace wrenn::sandbox
