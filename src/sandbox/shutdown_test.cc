// What becomes of sandboxes when their server ends.
#include "sandbox/manager_fixture.h"

namespace wrenn::sandbox {
namespace {

using store::SandboxState;

class ShutdownTest : public ManagerFixture {
 protected:
  void SetUp() override {
    ManagerFixture::SetUp();
    StartManager();
  }
};

TEST_F(ShutdownTest, LeavesThemRunning) {
  const std::string id = Create();
  manager_->Shutdown(AtShutdown::kKeep, Deadline::After(seconds(10)));
  EXPECT_EQ(engine_->alive(), 1);
  EXPECT_EQ(Stored(id).state, SandboxState::kRunning);
  EXPECT_EQ(manager_->Create(kTenant, {}).error().code, Code::kUnavailable);
  EXPECT_EQ(manager_->Use(kTenant, id).error().code, Code::kUnavailable);
  EXPECT_EQ(manager_->Destroy(kTenant, id).error().code, Code::kUnavailable);
}

TEST_F(ShutdownTest, CanStopThemInParallel) {
  config_.stop_limit = seconds(1);
  StartManager();
  engine_->Set({.ignores_shutdown = true});
  std::vector<std::string> ids;
  for (int i = 0; i < 8; ++i) ids.push_back(Create());
  const auto begin = std::chrono::steady_clock::now();
  manager_->Shutdown(AtShutdown::kStop, Deadline::After(seconds(20)));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 6 * config_.stop_limit);
  EXPECT_EQ(engine_->alive(), 0);
  for (const auto& id : ids) {
    EXPECT_EQ(Stored(id).state, SandboxState::kStopped);
    EXPECT_EQ(Stored(id).reason, "the server was stopped");
  }
}

TEST_F(ShutdownTest, KillsWhatIsTooSlow) {
  config_.stop_limit = seconds(60);
  StartManager();
  engine_->Set({.ignores_shutdown = true});
  const std::string id = Create();
  manager_->Shutdown(AtShutdown::kStop, Deadline::After(milliseconds(200)));
  EXPECT_EQ(engine_->alive(), 0);
  EXPECT_EQ(Stored(id).state, SandboxState::kStopped);
}

TEST_F(ShutdownTest, UndoesStartsInProgressAndInTheQueue) {
  config_.limits.max_parallel_starts = 1;
  StartManager();
  engine_->Set({.agent_is_silent = true});
  std::vector<std::thread> creators;
  std::atomic<int> refused = 0;
  for (int i = 0; i < 3; ++i) {
    creators.emplace_back([&] {
      const auto made = manager_->Create(kTenant, {});
      refused += !made && made.error().code == Code::kUnavailable;
    });
  }
  ASSERT_TRUE(WaitFor([&] { return engine_->alive() == 1 && manager_->totals().sandboxes == 3; }));
  manager_->Shutdown(AtShutdown::kKeep, Deadline::After(seconds(10)));
  for (auto& creator : creators) creator.join();
  EXPECT_EQ(refused, 3);
  ExpectNothingLeft();
}

}  // namespace
}  // namespace wrenn::sandbox
