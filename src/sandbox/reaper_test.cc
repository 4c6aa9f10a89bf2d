#include "sandbox/reaper.h"

#include <gmock/gmock.h>

#include "os/files.h"
#include "sandbox/manager_fixture.h"

namespace wrenn::sandbox {
namespace {

using store::SandboxState;

class ReaperTest : public ManagerFixture {
 protected:
  void SetUp() override {
    ManagerFixture::SetUp();
    config_.activity_interval = milliseconds(50);
  }
};

TEST_F(ReaperTest, AnIdleSandboxIsStoppedInItsTime) {
  StartManager();
  const auto begin = std::chrono::steady_clock::now();
  const std::string id = Create(1);
  const std::string forever = Create(0);
  ASSERT_TRUE(WaitForState(id, SandboxState::kStopped));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, seconds(1));
  EXPECT_EQ(Stored(id).reason, "idle for 1 s");
  EXPECT_EQ(engine_->Find(id)->exit()->reason, "guest shut down");
  EXPECT_EQ(Stored(forever).state, SandboxState::kRunning);
}

TEST_F(ReaperTest, ASandboxInUseIsNotIdleHoweverQuiet) {
  StartManager();
  const std::string id = Create(1);
  auto lease = manager_->Use(kTenant, id);
  ASSERT_TRUE(lease);
  const std::string other = Create(1);
  ASSERT_TRUE(WaitForState(other, SandboxState::kStopped));
  EXPECT_EQ(Stored(id).state, SandboxState::kRunning);
  const auto released = std::chrono::steady_clock::now();
  lease->reset();
  ASSERT_TRUE(WaitForState(id, SandboxState::kStopped));
  EXPECT_GE(std::chrono::steady_clock::now() - released, milliseconds(990));
}

TEST_F(ReaperTest, WhoOnlyLooksDoesNotKeepItAwake) {
  StartManager();
  const std::string id = Create(1);
  const auto looks = manager_->Look(kTenant, id);
  ASSERT_TRUE(looks);
  const auto stopped = [&] {
    if (const auto look = manager_->Look(kTenant, id)) (*look)->Touch();
    return Stored(id).state == SandboxState::kStopped;
  };
  EXPECT_TRUE(WaitFor(stopped));
}

TEST_F(ReaperTest, PingPutsItOffAndChangesTheTimeout) {
  StartManager();
  const std::string pinged = Create(2);
  const std::string left = Create(2);
  // Pinged until the other one has gone, which began to be idle later.
  while (Stored(left).state != SandboxState::kStopped) {
    ASSERT_TRUE(manager_->Ping(kTenant, pinged, std::nullopt));
    std::this_thread::sleep_for(milliseconds(20));
  }
  EXPECT_EQ(Stored(pinged).state, SandboxState::kRunning);
  EXPECT_EQ(manager_->Ping(kTenant, pinged, -1).error().code, Code::kInvalidArgument);
  EXPECT_EQ(manager_->Ping(kTenant, pinged, 0)->timeout_sec, 0);
  EXPECT_EQ(Stored(pinged).timeout_sec, 0);
  // From never to soon: the reaper must not sleep over it.
  EXPECT_EQ(manager_->Ping(kTenant, pinged, 1)->timeout_sec, 1);
  ASSERT_TRUE(WaitForState(pinged, SandboxState::kStopped));
}

TEST_F(ReaperTest, OneThatIsSlowToStopDelaysNoOther) {
  config_.stop_limit = seconds(60);
  StartManager();
  engine_->Set({.ignores_shutdown = true});
  const std::string slow = Create(1);
  engine_->Set({});
  std::vector<std::string> others;
  for (int i = 0; i < 6; ++i) others.push_back(Create(1));
  for (const auto& id : others) ASSERT_TRUE(WaitForState(id, SandboxState::kStopped));
  EXPECT_EQ(Stored(slow).state, SandboxState::kStopping);
  EXPECT_TRUE(manager_->Destroy(kTenant, slow));
}

TEST_F(ReaperTest, ActivityIsStoredNowAndThen) {
  StartManager();
  const std::string id = Create();
  const auto before = Stored(id).last_active_at;
  ASSERT_TRUE(manager_->Ping(kTenant, id, std::nullopt));
  const auto shown = manager_->Get(kTenant, id)->last_active_at;
  EXPECT_GT(shown, before);
  EXPECT_TRUE(WaitFor([&] { return Stored(id).last_active_at > before; }));
  EXPECT_EQ(Stored(id).version, manager_->Get(kTenant, id)->version);
}

TEST_F(ReaperTest, ActivityIsStoredAtTheEnd) {
  config_.activity_interval = seconds(600);
  StartManager();
  const std::string id = Create();
  // The first goes at once, what follows within the interval stays in memory.
  ASSERT_TRUE(manager_->Ping(kTenant, id, std::nullopt));
  ASSERT_TRUE(WaitFor([&] { return Stored(id).last_active_at > Stored(id).started_at; }));
  ASSERT_TRUE(manager_->Ping(kTenant, id, std::nullopt));
  const auto last = manager_->Get(kTenant, id)->last_active_at;
  manager_->Shutdown(AtShutdown::kKeep, Deadline::After(seconds(10)));
  const auto stored = Stored(id).last_active_at;
  ASSERT_TRUE(stored);
  EXPECT_LT(*last - *stored, std::chrono::microseconds(1));
}

TEST_F(ReaperTest, EndedOnesArePrunedAfterTheirTime) {
  config_.ended_retention = milliseconds(300);
  StartManager();
  const std::string running = Create();
  std::vector<std::string> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(Create());
  for (const auto& id : ids) ASSERT_TRUE(manager_->Stop(kTenant, id, "asked to"));
  EXPECT_TRUE(WaitFor([&] { return real_store_->ListAllSandboxes()->size() == 1; }));
  EXPECT_EQ(Folders(), std::vector<std::string>{running});
  // The record goes a moment before the object that stood for it.
  EXPECT_TRUE(WaitFor([&] {
    const auto gone = manager_->Get(kTenant, ids[0]);
    return !gone && gone.error().code == Code::kNotFound;
  }));
}

TEST_F(ReaperTest, WarmMachinesWithoutATemplateGoAndOneThatIsBeingMadeStays) {
  config_.ended_retention = milliseconds(50);
  StartManager();
  const std::string gone = config_.paths.Warm() + "/gone";
  const std::string draft = config_.paths.Warm() + "/new.0123.draft";
  for (const auto& folder : {draft, gone}) ASSERT_TRUE(os::MakeDirectory(folder));
  EXPECT_TRUE(WaitFor([&] { return !os::Exists(gone); }));
  EXPECT_TRUE(os::Exists(draft));
}

}  // namespace
}  // namespace wrenn::sandbox
