#include "sandbox/warm_pool.h"

#include <thread>

#include <gmock/gmock.h>

#include "sandbox/manager_fixture.h"

namespace wrenn::sandbox {
namespace {

using store::SandboxState;
using ::testing::HasSubstr;
using ::testing::Not;

class WarmPoolTest : public ManagerFixture {
 protected:
  void SetUp() override {
    ManagerFixture::SetUp();
    config_.warm_pool.most = 2;
  }

  int Ready() const {
    const std::string name = "wrenn_warm_machines{template=\"minimal\"} ";
    const std::string text = manager_->MetricsText();
    const size_t at = text.find(name);
    return at == std::string::npos ? 0 : std::stoi(text.substr(at + name.size()));
  }
  // So many, or more: the pool may be quicker than a look at it.
  bool WaitForReady(int count) {
    if (WaitFor([&] { return Ready() >= count; })) return true;
    std::lock_guard lock(mutex_);
    for (const Happening& one : happenings_) {
      if (one.severity == Severity::kInfo) continue;
      ADD_FAILURE() << one.message << " " << json::serialize(one.details);
    }
    return false;
  }
};

TEST_F(WarmPoolTest, IsFilledBehindTheFirstAndHandedOut) {
  StartManager();
  (void)Create();  // boots; the second one is restored, and tells the pool
  EXPECT_EQ(Stored(Create()).origin, "template");
  ASSERT_TRUE(WaitForReady(1));
  EXPECT_EQ(engine_->boots(), 1);
  const int before = engine_->restores();
  const std::string id = Create();
  EXPECT_EQ(Stored(id).origin, "warm pool");
  EXPECT_FALSE(engine_->Find(id)->frozen);
  EXPECT_EQ(engine_->Find(id)->last_init().at("sandboxId").as_string(), id);
  EXPECT_EQ(engine_->Find(id)->last_init().at("accessToken").as_string(), Stored(id).agent_token);
  EXPECT_TRUE(manager_->Use(kTenant, id));
  // Two were taken within a minute.
  ASSERT_TRUE(WaitForReady(2));
  EXPECT_EQ(engine_->restores(), before + 2);
  EXPECT_THAT(manager_->MetricsText(), HasSubstr("wrenn_creates_total{origin=\"pool\"} 1\n"));
  // The second one's.
  EXPECT_THAT(manager_->MetricsText(),
              HasSubstr("wrenn_warm_pool_misses_total{template=\"minimal\"} 1\n"));
  // Those that wait are no sandboxes, but have their part of the memory.
  EXPECT_EQ(manager_->List(kTenant)->size(), 3u);
  EXPECT_EQ(manager_->totals().sandboxes, 3);
  EXPECT_EQ(manager_->totals().memory_mb, 5 * 128);
  EXPECT_TRUE(manager_->Pause(kTenant, id, ""));
  EXPECT_TRUE(manager_->Resume(kTenant, id));
  EXPECT_EQ(Stored(id).origin, "warm pool");
}

TEST_F(WarmPoolTest, EndsWithTheServer) {
  StartManager();
  const std::string first = Create();
  const std::string second = Create();
  ASSERT_TRUE(WaitForReady(1));
  EXPECT_EQ(engine_->alive(), 3);
  manager_->Shutdown(AtShutdown::kKeep, Deadline::After(seconds(10)));
  EXPECT_EQ(engine_->alive(), 2);
  std::vector<std::string> left = Folders();
  EXPECT_THAT(left, ::testing::UnorderedElementsAre(first, second));
}

TEST_F(WarmPoolTest, GivesItsMemoryBackFirst) {
  config_.limits.max_memory_mb = 8 * 128;
  StartManager();
  for (int i = 0; i < 2; ++i) (void)Create();
  ASSERT_TRUE(WaitForReady(1));
  (void)Create();
  ASSERT_TRUE(WaitForReady(2));
  EXPECT_EQ(Ready(), 2);  // a quarter of the memory
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(Create());
  for (const auto& id : ids) EXPECT_EQ(Stored(id).state, SandboxState::kRunning);
  EXPECT_EQ(manager_->totals().memory_mb, 8 * 128);
  EXPECT_EQ(engine_->alive(), 8);
}

TEST_F(WarmPoolTest, OneThatHasEndedIsNotHandedOut) {
  StartManager();
  const std::string first = Create();
  const std::string second = Create();
  ASSERT_TRUE(WaitForReady(1));
  for (const std::string& id : Folders()) {
    if (id != first && id != second) engine_->Find(id)->End({"VMM killed by signal 9", false});
  }
  // From a restore, or from another that the pool has made meanwhile.
  const std::string id = Create();
  EXPECT_TRUE(engine_->Find(id)->alive());
  EXPECT_EQ(Stored(id).state, SandboxState::kRunning);
}

TEST_F(WarmPoolTest, OneThatDoesNotAnswerAnyMoreIsReplacedByARestore) {
  StartManager();
  const std::string first = Create();
  const std::string second = Create();
  ASSERT_TRUE(WaitForReady(1));
  for (const std::string& id : Folders()) {
    if (id != first && id != second) engine_->Find(id)->Set({.init_fails = true});
  }
  const std::string id = Create();
  EXPECT_EQ(Stored(id).origin, "template");
  EXPECT_EQ(Stored(id).state, SandboxState::kRunning);
}

TEST_F(WarmPoolTest, ATemplateCanAlwaysHaveSome) {
  config_.warm_pool.most = 0;
  // Warm machines of templates that are gone would be removed at the next start.
  ASSERT_TRUE(real_store_->PutTemplate(catalogue_->Find(kTenant, "minimal")->record, false));
  StartManager();
  (void)Create();
  (void)Create();
  EXPECT_EQ(engine_->alive(), 2);
  EXPECT_THAT(manager_->MetricsText(), Not(HasSubstr("misses_total{"))) << "there is no pool";
  config_.warm_pool.fixed = {{"minimal", 3}, {"no-such", 1}};
  StartManager();
  ASSERT_TRUE(WaitForReady(3));
  EXPECT_EQ(Stored(Create()).origin, "warm pool");
  ASSERT_TRUE(WaitForReady(3));
}

TEST_F(WarmPoolTest, ATemplateThatAlwaysHasSomeHasThemFromItsFirstBootOn) {
  config_.warm_pool = {.most = 0, .fixed = {{"minimal", 2}}};
  StartManager();
  (void)Create();
  EXPECT_TRUE(WaitForReady(2));
}

TEST_F(WarmPoolTest, WhatATemplateAlwaysHasIsOfItsOwnShape) {
  config_.warm_pool = {.most = 0, .fixed = {{"minimal", 2}}};
  StartManager();
  (void)Create();
  ASSERT_TRUE(WaitForReady(2));
  CreateRequest odd;
  odd.memory_mb = 192;
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(manager_->Create(kTenant, odd));
  EXPECT_FALSE(WaitFor([&] { return Ready() > 2; }, milliseconds(500)));
  CreateRequest spelled_out;
  spelled_out.memory_mb = 128;
  EXPECT_EQ(manager_->Create(kTenant, spelled_out)->origin, "warm pool");
  EXPECT_TRUE(WaitForReady(2));
}

// Two sandboxes want what one machine of the pool has.
TEST_F(WarmPoolTest, CreatesAtOnceShareWhatIsGivenBack) {
  config_.limits.max_memory_mb = 4 * 128;
  config_.warm_pool = {.most = 0, .fixed = {{"minimal", 1}}};
  CreateRequest half;
  half.memory_mb = 64;
  ASSERT_TRUE(real_store_->PutTemplate(catalogue_->Find(kTenant, "minimal")->record, false));
  StartManager();
  (void)Create();
  for (int round = 0; round < 5; ++round) {
    ASSERT_TRUE(WaitForReady(1));
    std::vector<std::thread> clients;
    std::atomic<int> made = 0;
    for (int i = 0; i < 6; ++i) {
      clients.emplace_back([&] { made += manager_->Create(kTenant, half).has_value(); });
    }
    for (auto& client : clients) client.join();
    EXPECT_EQ(made, 6);
    const auto all = manager_->List(kTenant);
    ASSERT_TRUE(all);
    for (const auto& record : *all) {
      if (record.memory_mb == 64) ASSERT_TRUE(manager_->Destroy(kTenant, record.id));
    }
    StartManager();  // else the pool waits a while before it makes another
  }
}

TEST_F(WarmPoolTest, AFailureIsTriedAgainLaterAndLeavesNothing) {
  StartManager();
  (void)Create();
  engine_->Set({.restore_fails = true});
  (void)Create();  // boots, since the warm machine does not come up
  engine_->Set({.init_fails = true});
  ASSERT_FALSE(manager_->Create(kTenant, {}));
  EXPECT_TRUE(WaitFor([&] { return engine_->alive() == 2; }));
  EXPECT_TRUE(WaitFor([&] { return Folders().size() == 2; }));
  EXPECT_EQ(manager_->totals().memory_mb, 2 * 128);
}

}  // namespace
}  // namespace wrenn::sandbox
