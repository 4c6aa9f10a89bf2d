#include "sandbox/manager.h"

#include <gmock/gmock.h>

#include "sandbox/manager_fixture.h"

namespace wrenn::sandbox {
namespace {

using store::SandboxState;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ManagerTest : public ManagerFixture {
 protected:
  void SetUp() override {
    ManagerFixture::SetUp();
    StartManager();
  }
};

TEST_F(ManagerTest, ACreatedSandboxRunsAndIsRecorded) {
  CreateRequest request;
  request.timeout_sec = 60;
  request.envs = {{"COLOUR", "green"}};
  request.metadata = {{"owner", "me"}};
  const auto made = manager_->Create(kTenant, request);
  ASSERT_TRUE(made) << made.error().ToString();
  EXPECT_EQ(made->state, SandboxState::kRunning);
  EXPECT_EQ(made->engine, "fake/none");
  EXPECT_EQ(made->disk_backend, "qcow2");
  EXPECT_EQ(made->template_name, "minimal");
  EXPECT_TRUE(made->started_at);

  const auto stored = Stored(made->id);
  EXPECT_EQ(stored.state, SandboxState::kRunning);
  EXPECT_EQ(stored.version, made->version);
  EXPECT_EQ(stored.machine, made->machine);
  EXPECT_EQ(stored.metadata, request.metadata);
  const auto events = manager_->Events(kTenant, made->id);
  ASSERT_TRUE(events);
  ASSERT_EQ(events->size(), 2u);
  EXPECT_EQ((*events)[0].phase, "intent");
  EXPECT_EQ((*events)[1].phase, "done");
  for (const char* phase : {"disk_ms", "vmm_ms", "agent_ms", "init_ms", "total_ms"}) {
    EXPECT_TRUE((*events)[1].details.contains(phase)) << phase;
  }

  const json::object init = engine_->Find(made->id)->last_init();
  const json::object& envs = init.at("envVars").as_object();
  EXPECT_EQ(envs.at("COLOUR").as_string(), "green");
  EXPECT_EQ(envs.at("WRENN_SANDBOX").as_string(), "true");
  EXPECT_EQ(envs.at("WRENN_SANDBOX_ID").as_string(), made->id);
  EXPECT_EQ(init.at("accessToken").as_string(), made->agent_token);

  struct stat status{};
  ASSERT_EQ(::stat(config_.paths.Sandbox(made->id).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
  ASSERT_EQ(::stat(config_.paths.SandboxRuntime(made->id).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
  EXPECT_TRUE(os::Exists(config_.paths.Sandbox(made->id) + "/machine.json"));
  EXPECT_EQ(manager_->totals().sandboxes, 1);
  EXPECT_EQ(manager_->totals().memory_mb, 128);
}

TEST_F(ManagerTest, WhatCannotBeMadeChangesNothing) {
  CreateRequest request;
  request.template_name = "absent";
  EXPECT_EQ(manager_->Create(kTenant, request).error().code, Code::kNotFound);
  request.template_name = "minimal";
  request.memory_mb = -1;
  EXPECT_EQ(manager_->Create(kTenant, request).error().code, Code::kInvalidArgument);
  request.memory_mb.reset();
  request.network.allow_internet_access = true;
  const auto refused = manager_->Create(kTenant, request);
  EXPECT_EQ(refused.error().code, Code::kFailedPrecondition);
  EXPECT_THAT(refused.error().message, HasSubstr("there is none in tests"));
  EXPECT_EQ(engine_->boots(), 0);
  ExpectNothingLeft();
}

TEST_F(ManagerTest, AFailureAtAnyStepOfTheStartLeavesNothing) {
  const auto full = [](const std::string& wanted, SandboxState state) {
    return [=](const std::string& call, SandboxState now) -> std::optional<Error> {
      if (call != wanted || now != state) return std::nullopt;
      return Error{Code::kResourceExhausted, "the disk is full", {}};
    };
  };
  struct Case {
    std::string name;
    std::function<void()> arrange;
    Code code;
    std::string message;
  };
  const Case cases[] = {
      {"intent", [&] { store_->Set(full("add", SandboxState::kStarting)); },
       Code::kResourceExhausted, "the disk is full"},
      {"template", [&] { catalogue_->changes_between_looks = true; }, Code::kAborted, "try again"},
      {"disk", [&] { ASSERT_TRUE(os::RemoveTree(image_)); }, Code::kInternal, "base image"},
      {"boot", [&] { engine_->Set({.boot_fails = true}); }, Code::kInternal,
       "the VMM cannot be started"},
      {"exit", [&] { engine_->Set({.ends_at_once = true}); }, Code::kInternal,
       "guest panic: no init found"},
      {"init", [&] { engine_->Set({.init_fails = true}); }, Code::kInternal,
       "as the test wants it"},
      {"result", [&] { store_->Set(full("update", SandboxState::kRunning)); },
       Code::kResourceExhausted, "the disk is full"},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.name);
    one.arrange();
    const auto made = manager_->Create(kTenant, {});
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, one.code) << made.error().ToString();
    EXPECT_THAT(made.error().message, HasSubstr(one.message));
    ExpectNothingLeft();
    store_->Set(nullptr);
    engine_->Set({});
    catalogue_->changes_between_looks = false;
    ASSERT_TRUE(WriteFileAtomically(image_, std::string(1 << 20, 'i')));
  }
  EXPECT_NE(Create(), "");
}

TEST_F(ManagerTest, AGuestThatDoesNotAnswerIsGivenUp) {
  config_.boot_limit = milliseconds(300);
  StartManager();
  engine_->Set({.agent_is_silent = true});
  const auto made = manager_->Create(kTenant, {});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, Code::kDeadlineExceeded) << made.error().ToString();
  EXPECT_THAT(made.error().message, HasSubstr("did not answer"));
  ExpectNothingLeft();
}

TEST_F(ManagerTest, AFailedStartTellsWhatTheConsoleSaid) {
  engine_->Set({.init_fails = true});
  const auto made = manager_->Create(kTenant, {});
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().detail, HasSubstr("hello from ? the guest"));
  EXPECT_EQ(made.error().message.find("hello"), std::string::npos);
}

TEST_F(ManagerTest, AStartThatCannotBeUndoneLeavesARecordToRemoveItBy) {
  engine_->Set({.init_fails = true, .unkillable = false});
  store_->Set([](const std::string& call, SandboxState) -> std::optional<Error> {
    if (call != "remove") return std::nullopt;
    return Error{Code::kUnavailable, "locked", {}};
  });
  ASSERT_FALSE(manager_->Create(kTenant, {}));
  store_->Set(nullptr);
  const auto list = manager_->List(kTenant);
  ASSERT_EQ(list->size(), 1u);
  EXPECT_EQ((*list)[0].state, SandboxState::kError);
  EXPECT_TRUE(manager_->Destroy(kTenant, (*list)[0].id));
  ExpectNothingLeft();
}

TEST_F(ManagerTest, ParallelCreatesNeverOvershootALimit) {
  config_.limits.max_sandboxes = 10;
  StartManager();
  std::atomic<int> made = 0;
  std::atomic<int> refused = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 50; ++i) {
    threads.emplace_back([&] {
      const auto one = manager_->Create(kTenant, {});
      if (one) ++made;
      if (!one && one.error().code == Code::kResourceExhausted) ++refused;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(made, 10);
  EXPECT_EQ(refused, 40);
  EXPECT_EQ(engine_->alive(), 10);
  EXPECT_LE(engine_->most_boots_at_once(), 4);
  EXPECT_EQ(manager_->totals().sandboxes, 10);
  const auto list = manager_->List(kTenant);
  ASSERT_TRUE(list);
  for (const auto& record : *list) EXPECT_TRUE(manager_->Destroy(kTenant, record.id));
  ExpectNothingLeft();
}

TEST_F(ManagerTest, AtMostSoManyStartAtOnceAndAllGetTheirTurn) {
  config_.limits.max_parallel_starts = 2;
  StartManager();
  std::vector<std::thread> threads;
  std::atomic<int> made = 0;
  for (int i = 0; i < 12; ++i) {
    threads.emplace_back([&] { made += manager_->Create(kTenant, {}).has_value(); });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(made, 12);
  EXPECT_LE(engine_->most_boots_at_once(), 2);
}

TEST_F(ManagerTest, StopEndsItInOrderAndKeepsRecordAndConsole) {
  const std::string id = Create();
  EXPECT_FALSE(disk::FindLayers(config_.paths.Sandbox(id))->empty());
  const auto stopped = manager_->Stop(kTenant, id, "asked to");
  ASSERT_TRUE(stopped) << stopped.error().ToString();
  EXPECT_EQ(stopped->state, SandboxState::kStopped);
  EXPECT_EQ(stopped->reason, "asked to");
  EXPECT_TRUE(stopped->ended_at);
  EXPECT_EQ(Stored(id).state, SandboxState::kStopped);
  EXPECT_EQ(engine_->Find(id)->exit()->reason, "guest shut down");
  EXPECT_TRUE(disk::FindLayers(config_.paths.Sandbox(id))->empty());
  EXPECT_TRUE(RuntimeFolders().empty());
  EXPECT_EQ(manager_->Console(kTenant, id, 100).value(), "hello from \xff the guest\n");
  EXPECT_EQ(manager_->Console(kTenant, id, 6).value(), "guest\n");
  EXPECT_TRUE(HasEvent(id, "stop", "intent"));
  EXPECT_TRUE(HasEvent(id, "stop", "done"));
  EXPECT_EQ(manager_->totals().sandboxes, 0);

  const auto used = manager_->Use(kTenant, id);
  ASSERT_FALSE(used);
  EXPECT_EQ(used.error().code, Code::kAborted);
  EXPECT_THAT(used.error().message, HasSubstr("is stopped: asked to"));
  EXPECT_EQ(manager_->Ping(kTenant, id, std::nullopt).error().code, Code::kAborted);
  EXPECT_EQ(manager_->Stop(kTenant, id, "again")->reason, "asked to");
  EXPECT_EQ(manager_->Get(kTenant, id)->state, SandboxState::kStopped);

  EXPECT_TRUE(manager_->Destroy(kTenant, id));
  ExpectNothingLeft();
}

TEST_F(ManagerTest, AGuestThatDoesNotStopIsKilled) {
  config_.stop_limit = milliseconds(100);
  StartManager();
  engine_->Set({.ignores_shutdown = true});
  const std::string deaf = Create();
  EXPECT_EQ(manager_->Stop(kTenant, deaf, "asked to")->state, SandboxState::kStopped);
  EXPECT_EQ(engine_->Find(deaf)->exit()->reason, "killed by request");
  engine_->Set({.refuses_shutdown = true});
  const std::string broken = Create();
  EXPECT_EQ(manager_->Stop(kTenant, broken, "asked to")->state, SandboxState::kStopped);
  EXPECT_EQ(engine_->alive(), 0);
}

TEST_F(ManagerTest, DestroyRemovesEverythingAtOnce) {
  engine_->Set({.ignores_shutdown = true});
  const std::string id = Create();
  EXPECT_TRUE(manager_->Destroy(kTenant, id));
  ExpectNothingLeft();
  EXPECT_EQ(manager_->Destroy(kTenant, id).error().code, Code::kNotFound);
  EXPECT_EQ(manager_->Get(kTenant, id).error().code, Code::kNotFound);
}

TEST_F(ManagerTest, UnknownAndForeignIdsAreNotFound) {
  const std::string id = Create();
  for (const std::string& bad :
       {std::string("sb-00000000000000000000"), std::string("../wrenn.db"), std::string(""),
        std::string("sb-../../../../../etc"), std::string("tp-00000000000000000000")}) {
    EXPECT_EQ(manager_->Destroy(kTenant, bad).error().code, Code::kNotFound) << bad;
    EXPECT_EQ(manager_->Stop(kTenant, bad, "x").error().code, Code::kNotFound);
    EXPECT_EQ(manager_->Use(kTenant, bad).error().code, Code::kNotFound);
    EXPECT_EQ(manager_->Console(kTenant, bad, 10).error().code, Code::kNotFound);
    EXPECT_EQ(manager_->Events(kTenant, bad).error().code, Code::kNotFound);
  }
  EXPECT_EQ(manager_->Get("other", id).error().code, Code::kNotFound);
  EXPECT_EQ(manager_->Use("other", id).error().code, Code::kNotFound);
  EXPECT_EQ(manager_->Destroy("other", id).error().code, Code::kNotFound);
  EXPECT_TRUE(manager_->List("other")->empty());
  EXPECT_EQ(engine_->alive(), 1);
}

TEST_F(ManagerTest, DestroyDoesNotWaitForAStart) {
  engine_->Set({.agent_is_silent = true});
  Result<store::SandboxRecord> made;
  std::thread creator([&] { made = manager_->Create(kTenant, {}); });
  ASSERT_TRUE(WaitFor([&] { return engine_->alive() == 1; }));
  const auto list = manager_->List(kTenant);
  ASSERT_EQ(list->size(), 1u);
  EXPECT_EQ((*list)[0].state, SandboxState::kStarting);
  EXPECT_EQ(manager_->Use(kTenant, (*list)[0].id).error().code, Code::kAborted);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(manager_->Destroy(kTenant, (*list)[0].id));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, config_.boot_limit / 2);
  creator.join();
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, Code::kAborted) << made.error().ToString();
  ExpectNothingLeft();
}

TEST_F(ManagerTest, DestroyDoesNotWaitForAStop) {
  config_.stop_limit = seconds(60);
  StartManager();
  engine_->Set({.ignores_shutdown = true});
  const std::string id = Create();
  std::thread stopper([&] { EXPECT_TRUE(manager_->Stop(kTenant, id, "asked to")); });
  ASSERT_TRUE(WaitForState(id, SandboxState::kStopping));
  EXPECT_TRUE(manager_->Destroy(kTenant, id));
  stopper.join();
  ExpectNothingLeft();
}

TEST_F(ManagerTest, ALeaseGivesTheAgentAndOutlivesTheSandboxHarmlessly) {
  const std::string id = Create();
  auto lease = manager_->Use(kTenant, id);
  ASSERT_TRUE(lease);
  EXPECT_EQ((*lease)->record().id, id);
  EXPECT_EQ((*lease)->Use().memory_bytes, 12345u);
  EXPECT_TRUE((*lease)->agent().Health(Deadline::After(seconds(10))));
  (*lease)->Touch();
  EXPECT_TRUE(manager_->Destroy(kTenant, id));
  const Status health = (*lease)->agent().Health(Deadline::After(seconds(10)));
  ASSERT_FALSE(health);
  EXPECT_EQ(health.error().code, Code::kUnavailable) << health.error().ToString();
  lease->reset();
  ExpectNothingLeft();
}

TEST_F(ManagerTest, AMachineThatCannotBeEndedIsNotForgotten) {
  const std::string id = Create();
  engine_->Find(id)->Set({.unkillable = true});
  const Status destroyed = manager_->Destroy(kTenant, id);
  ASSERT_FALSE(destroyed);
  EXPECT_THAT(destroyed.error().message, HasSubstr("could not be ended"));
  EXPECT_EQ(Stored(id).state, SandboxState::kError);
  EXPECT_EQ(manager_->totals().sandboxes, 1);
  EXPECT_TRUE(os::Exists(config_.paths.Sandbox(id)));
  engine_->Find(id)->Set({});
  EXPECT_TRUE(manager_->Destroy(kTenant, id));
  ExpectNothingLeft();
}

TEST_F(ManagerTest, AnIntentThatCannotBeRecordedChangesNothing) {
  const std::string id = Create();
  store_->Set([](const std::string&, SandboxState) {
    return std::optional(Error{Code::kUnavailable, "the database is in use", {}});
  });
  EXPECT_EQ(manager_->Stop(kTenant, id, "asked to").error().code, Code::kUnavailable);
  EXPECT_EQ(manager_->Destroy(kTenant, id).error().code, Code::kUnavailable);
  store_->Set(nullptr);
  EXPECT_EQ(Stored(id).state, SandboxState::kRunning);
  EXPECT_TRUE(manager_->Use(kTenant, id));
  EXPECT_TRUE(manager_->Destroy(kTenant, id));
}

TEST_F(ManagerTest, OnAFullDiskASandboxCanStillBeEnded) {
  const std::string stopped = Create();
  const std::string destroyed = Create();
  const std::string both = Create();
  std::atomic<bool> is_full = true;
  store_->Set([&](const std::string& call, SandboxState state) -> std::optional<Error> {
    if (!is_full || call == "remove" || state == SandboxState::kStarting) return std::nullopt;
    return Error{Code::kResourceExhausted, "the disk is full", {}};
  });
  EXPECT_TRUE(manager_->Destroy(kTenant, destroyed));
  EXPECT_EQ(manager_->Stop(kTenant, stopped, "asked to").error().code, Code::kResourceExhausted);
  EXPECT_FALSE(manager_->Stop(kTenant, both, "asked to"));
  EXPECT_TRUE(manager_->Destroy(kTenant, both));
  EXPECT_EQ(engine_->alive(), 0);
  EXPECT_EQ(manager_->Get(kTenant, stopped)->state, SandboxState::kStopped);
  // When there is room again the end is recorded.
  is_full = false;
  EXPECT_TRUE(WaitForState(stopped, SandboxState::kStopped));
  EXPECT_EQ(Stored(stopped).reason, "asked to");
}

TEST_F(ManagerTest, ObserversAreToldWithTimes) {
  const std::string id = Create();
  ASSERT_TRUE(manager_->Destroy(kTenant, id));
  std::lock_guard lock(mutex_);
  std::vector<std::string> messages;
  for (const auto& happening : happenings_) {
    EXPECT_EQ(happening.sandbox_id, id);
    EXPECT_EQ(happening.severity, Severity::kInfo);
    EXPECT_TRUE(happening.details.contains("total_ms"));
    messages.push_back(happening.message);
  }
  EXPECT_THAT(messages, ElementsAre("started", "removed"));
}

TEST(MakeManagerTest, RefusesAnUnknownDiskBackend) {
  ManagerConfig config;
  config.disk_backend = "floppy";
  FakeEngine engine;
  FakeCatalogue catalogue("");
  auto folder = os::TemporaryDirectory::Make();
  auto store = store::OpenSqlite(folder->path() + "/wrenn.db");
  EXPECT_EQ(MakeManager(config, **store, catalogue, engine).error().code, Code::kInvalidArgument);
}

}  // namespace
}  // namespace wrenn::sandbox
