// Everything at once: what is left afterwards must agree, whoever came first.
#include <random>

#include "sandbox/manager_fixture.h"

namespace wrenn::sandbox {
namespace {

using store::SandboxState;

class RaceTest : public ManagerFixture {};

// Errors that one may get for having come too late.
bool IsTooLate(const Error& error) {
  return error.code == Code::kNotFound || error.code == Code::kAborted ||
         error.code == Code::kUnavailable;
}

TEST_F(RaceTest, DestroyStopExitAndUseOfOneSandbox) {
  StartManager();
  for (int round = 0; round < 15; ++round) {
    const std::string id = Create();
    ASSERT_NE(id, "");
    std::atomic<int> strange = 0;
    std::atomic<bool> go = false;
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&, i] {
        while (!go) std::this_thread::yield();
        switch ((i + round) % 4) {
          case 0:
            if (auto done = manager_->Destroy(kTenant, id); !done && !IsTooLate(done.error())) {
              ++strange;
            }
            break;
          case 1:
            if (auto done = manager_->Stop(kTenant, id, "race");
                !done && !IsTooLate(done.error())) {
              ++strange;
            }
            break;
          case 2:
            engine_->Find(id)->End({"VMM killed by signal 9", false});
            break;
          default:
            if (auto lease = manager_->Use(kTenant, id)) {
              const Status health = (*lease)->agent().Health(Deadline::After(seconds(10)));
              if (!health && !IsTooLate(health.error())) ++strange;
            }
        }
      });
    }
    go = true;
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(strange, 0);
    // Two of the eight have removed it.
    EXPECT_EQ(manager_->Get(kTenant, id).error().code, Code::kNotFound);
    ExpectNothingLeft();
  }
}

TEST_F(RaceTest, StopAndExitAgreeOnOneEnd) {
  StartManager();
  for (int round = 0; round < 15; ++round) {
    const std::string id = Create();
    std::thread stopper([&] { (void)manager_->Stop(kTenant, id, "asked to"); });
    std::thread crasher([&] { engine_->Find(id)->End({"VMM killed by signal 9", false}); });
    stopper.join();
    crasher.join();
    ASSERT_TRUE(WaitFor([&] { return store::IsEnded(Stored(id).state); }));
    const auto record = Stored(id);
    EXPECT_EQ(record.reason,
              record.state == SandboxState::kStopped ? "asked to" : "VMM killed by signal 9");
    EXPECT_TRUE(manager_->Destroy(kTenant, id));
  }
  ExpectNothingLeft();
}

TEST_F(RaceTest, ManySandboxesComeAndGo) {
  config_.limits.max_sandboxes = 6;
  config_.activity_interval = milliseconds(10);
  StartManager();
  std::atomic<int> strange = 0;
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      std::minstd_rand random(i + 1);
      for (int round = 0; round < 12; ++round) {
        CreateRequest request;
        request.timeout_sec = static_cast<int64_t>(random() % 2);
        const auto made = manager_->Create(kTenant, request);
        if (!made) {
          if (made.error().code != Code::kResourceExhausted) ++strange;
          continue;
        }
        if (random() % 3 == 0) engine_->Find(made->id)->End({"VMM killed by signal 9", false});
        if (random() % 3 == 0) (void)manager_->Ping(kTenant, made->id, 60);
        if (random() % 3 == 0) (void)manager_->Stop(kTenant, made->id, "asked to");
        (void)manager_->List(kTenant);
        if (!manager_->Destroy(kTenant, made->id)) ++strange;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(strange, 0);
  ExpectNothingLeft();
}

TEST_F(RaceTest, ShutdownInTheMiddleLeavesWhatRecoveryCanSettle) {
  for (int round = 0; round < 5; ++round) {
    StartManager();
    std::vector<std::thread> threads;
    for (int i = 0; i < 6; ++i) {
      threads.emplace_back([&, i] {
        const auto made = manager_->Create(kTenant, {});
        if (made && i % 2 == 0) (void)manager_->Stop(kTenant, made->id, "asked to");
        if (made && i % 3 == 0) (void)manager_->Destroy(kTenant, made->id);
      });
    }
    manager_->Shutdown(AtShutdown::kKeep, Deadline::After(milliseconds(20)));
    for (auto& thread : threads) thread.join();
    StartManager();
    const auto list = manager_->List(kTenant);
    ASSERT_TRUE(list);
    for (const auto& record : *list) {
      EXPECT_TRUE(record.state == SandboxState::kRunning || store::IsEnded(record.state));
      EXPECT_TRUE(manager_->Destroy(kTenant, record.id));
    }
    ExpectNothingLeft();
  }
}

}  // namespace
}  // namespace wrenn::sandbox
