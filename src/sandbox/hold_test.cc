// A machine that its engine holds, since the host's disk is full.
#include <gmock/gmock.h>

#include "sandbox/manager_fixture.h"

namespace wrenn::sandbox {
namespace {

using store::SandboxState;
using ::testing::HasSubstr;

using HoldTest = ManagerFixture;

TEST_F(HoldTest, ItSaysWhyItStandsStillAndIsNotAskedAnything) {
  StartManager();
  const std::string id = Create();
  engine_->Find(id)->Set({.held = true});
  const auto view = manager_->Get(kTenant, id);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->state, SandboxState::kRunning);
  EXPECT_EQ(view->reason, "it stands still: it is held for the test");
  EXPECT_EQ(manager_->List(kTenant)->at(0).reason, view->reason);
  const auto used = manager_->Use(kTenant, id);
  ASSERT_FALSE(used);
  EXPECT_EQ(used.error().code, Code::kUnavailable);
  EXPECT_THAT(used.error().message, HasSubstr("it is held for the test"));

  engine_->Find(id)->Set({});
  EXPECT_EQ(manager_->Get(kTenant, id)->reason, "");
  EXPECT_EQ(Stored(id).reason, "");
  EXPECT_TRUE(manager_->Use(kTenant, id));
}

TEST_F(HoldTest, ItCanBePausedAndStopped) {
  config_.stop_limit = std::chrono::seconds(60);
  StartManager();
  const std::string id = Create();
  engine_->Find(id)->Set({.ignores_shutdown = true, .held = true});
  const auto paused = manager_->Pause(kTenant, id, "asked to");
  ASSERT_TRUE(paused) << paused.error().ToString();
  EXPECT_EQ(paused->state, SandboxState::kPaused);
  const auto resumed = manager_->Resume(kTenant, id);
  ASSERT_TRUE(resumed) << resumed.error().ToString();
  engine_->Find(id)->Set({.ignores_shutdown = true, .held = true});
  // Without waiting for a guest that cannot answer: that would be a minute.
  const auto stopped = manager_->Stop(kTenant, id, "asked to");
  ASSERT_TRUE(stopped) << stopped.error().ToString();
  EXPECT_EQ(stopped->state, SandboxState::kStopped);
}

TEST_F(HoldTest, ARestartedServerAdoptsIt) {
  StartManager();
  const std::string id = Create();
  engine_->Find(id)->Set({.unhealthy = true, .held = true});
  StartManager();
  EXPECT_EQ(manager_->Get(kTenant, id)->state, SandboxState::kRunning);
}

}  // namespace
}  // namespace wrenn::sandbox
