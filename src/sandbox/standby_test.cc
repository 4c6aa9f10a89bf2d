// Paused sandboxes whose machine stands by in memory.
#include <gmock/gmock.h>

#include "os/digest.h"
#include "sandbox/manager_fixture.h"
#include "sandbox/sandbox_files.h"
#include "snapshot/folder.h"
#include "snapshot/verify.h"

namespace wrenn::sandbox {
namespace {

using store::SandboxState;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class StandbyTest : public ManagerFixture {
 protected:
  void SetUp() override {
    ManagerFixture::SetUp();
    config_.standby = seconds(60);
  }

  std::string SnapshotFolder(const std::string& id) {
    return config_.paths.Snapshot(Stored(id).snapshot);
  }
  void Pause(const std::string& id) {
    const auto paused = manager_->Pause(kTenant, id, "asked to");
    ASSERT_TRUE(paused) << paused.error().ToString();
    EXPECT_EQ(Stored(id).state, SandboxState::kPaused);
  }
  void Resume(const std::string& id) {
    const auto resumed = manager_->Resume(kTenant, id);
    ASSERT_TRUE(resumed) << resumed.error().ToString();
    EXPECT_EQ(Stored(id).state, SandboxState::kRunning);
    EXPECT_TRUE(manager_->Use(kTenant, id));
  }
  // How many resumes went this way.
  int Resumes(const std::string& way) const {
    const std::string name = "wrenn_resumes_total{way=\"" + way + "\"} ";
    const std::string text = manager_->MetricsText();
    const size_t at = text.find(name);
    return at == std::string::npos ? 0 : std::stoi(text.substr(at + name.size()));
  }
  bool StandsBy(const std::string& id) {
    const auto vm = engine_->Find(id);
    return vm->alive() && vm->frozen && !Stored(id).machine.empty();
  }
  // Its machine has ended, and nothing of that is left.
  bool IsCleared(const std::string& id) {
    return !engine_->Find(id)->alive() && Stored(id).machine.empty() &&
           disk::FindLayers(config_.paths.Sandbox(id))->empty() &&
           !os::Exists(config_.paths.SandboxRuntime(id));
  }
  size_t Problems(const std::string& id) {
    const auto verdict = snapshot::Verify(SnapshotFolder(id), {image_, *os::Sha256File(image_)});
    return verdict ? verdict->problems.size() : 1000;
  }
};

TEST_F(StandbyTest, TheSameMachineGoesOn) {
  StartManager();
  const std::string id = Create();
  Memory(id)[5000] = 'a';
  Pause(id);
  EXPECT_TRUE(StandsBy(id));
  EXPECT_EQ(manager_->totals().sandboxes, 0);
  EXPECT_EQ(manager_->totals().vcpus, 0);
  EXPECT_EQ(manager_->totals().disk_mb, 0);
  EXPECT_EQ(manager_->totals().memory_mb, 128);
  EXPECT_THAT(manager_->MetricsText(), HasSubstr("wrenn_standby_machines 1\n"));
  EXPECT_THAT(manager_->Use(kTenant, id).error().message, HasSubstr("is paused"));
  EXPECT_EQ(Problems(id), 0u);

  const int restores = engine_->restores();
  Resume(id);
  EXPECT_EQ(engine_->restores(), restores);
  EXPECT_FALSE(engine_->Find(id)->frozen);
  EXPECT_EQ(Memory(id)[5000], 'a');
  EXPECT_EQ(engine_->Find(id)->last_init().at("sandboxId").as_string(), id);
  EXPECT_EQ(Resumes("standby"), 1);
  EXPECT_THAT(manager_->MetricsText(), HasSubstr("wrenn_standby_machines 0\n"));
  EXPECT_TRUE(Stored(id).snapshot.empty());
  EXPECT_TRUE(Snapshots().empty());
  EXPECT_EQ(manager_->totals().sandboxes, 1);
  EXPECT_EQ(manager_->totals().memory_mb, 128);
  // Its end is seen as before.
  engine_->Find(id)->End({"VMM killed by signal 9", false});
  ASSERT_TRUE(WaitForState(id, SandboxState::kError));
  ASSERT_TRUE(manager_->Destroy(kTenant, id));
  ExpectNothingLeft();
}

TEST_F(StandbyTest, ItWritesToALayerThatTheSnapshotDoesNotHave) {
  StartManager();
  const std::string id = Create();
  Pause(id);
  const auto manifest = snapshot::Open(SnapshotFolder(id));
  ASSERT_TRUE(manifest);
  const std::string disk = engine_->Find(id)->disk();
  const std::string top = disk.substr(disk.rfind('/') + 1);
  EXPECT_THAT(manifest->layers, Not(::testing::Contains(top)));
  const auto layers = ParseDisk(Stored(id).disk);
  ASSERT_TRUE(layers);
  EXPECT_EQ(layers->front().name, top);
  EXPECT_EQ(layers->size(), manifest->layers.size() + 1);
  Resume(id);
  Pause(id);
  EXPECT_EQ(snapshot::ReadManifest(SnapshotFolder(id))->parent, manifest->id);
}

TEST_F(StandbyTest, EachPauseWritesOnlyWhatHasChangedAndNothingPilesUp) {
  constexpr int kPauses = 70;
  StartManager();
  const std::string id = Create();
  std::fill_n(Memory(id).begin(), 8 << 20, 'x');
  Pause(id);
  for (int i = 1; i <= kPauses; ++i) {
    const auto before = Names(SnapshotFolder(id));
    Resume(id);
    Memory(id)[static_cast<size_t>(i) << 16] = static_cast<char>(i);
    Memory(id)[20 << 20] = 'z';
    Pause(id);
    EXPECT_LE(NewMemoryBytes(before, SnapshotFolder(id)), 512u << 10) << "pause " << i;
  }
  EXPECT_EQ(Resumes("standby"), kPauses);
  EXPECT_EQ(Problems(id), 0u);
  EXPECT_TRUE(HasEvent(id, "tidy", "done"));
  EXPECT_LT(Names(SnapshotFolder(id)).size(), 100u);
  EXPECT_LT(Names(config_.paths.Sandbox(id)).size(), 100u);
  // What is in the files is what the machine has, and is tidied up when that has ended.
  ASSERT_TRUE(engine_->Find(id)->Kill(Deadline::After(seconds(5))));
  ASSERT_TRUE(WaitFor([&] { return Names(SnapshotFolder(id)).size() < 20; }));
  Resume(id);
  EXPECT_EQ(Resumes("restore"), 1);
  for (int i = 1; i <= kPauses; ++i) EXPECT_EQ(Memory(id)[static_cast<size_t>(i) << 16], i);
  EXPECT_EQ(Memory(id)[123], 'x');
}

TEST_F(StandbyTest, EndsWhenItsTimeIsOver) {
  config_.standby = milliseconds(100);
  StartManager();
  const std::string id = Create();
  Memory(id)[1] = 'k';
  Pause(id);
  ASSERT_TRUE(WaitFor([&] { return IsCleared(id); }));
  EXPECT_EQ(Stored(id).state, SandboxState::kPaused);
  EXPECT_EQ(Stored(id).reason, "asked to");
  EXPECT_TRUE(HasEvent(id, "standby", "ended"));
  EXPECT_EQ(manager_->totals().memory_mb, 0);
  Resume(id);
  EXPECT_EQ(Memory(id)[1], 'k');
  EXPECT_EQ(Resumes("restore"), 1);
}

TEST_F(StandbyTest, IsNotWantedWithoutTime) {
  config_.standby = milliseconds(0);
  StartManager();
  const std::string id = Create();
  Pause(id);
  EXPECT_TRUE(IsCleared(id));
}

TEST_F(StandbyTest, GivesItsMemoryBackWhenASandboxWantsIt) {
  config_.limits.max_memory_mb = 8 * 128;
  StartManager();
  std::vector<std::string> paused;
  for (int i = 0; i < 3; ++i) paused.push_back(Create());
  for (const auto& id : paused) Pause(id);
  // A quarter of the memory: the newer ones.
  EXPECT_TRUE(WaitFor([&] { return IsCleared(paused[0]); }));
  EXPECT_TRUE(StandsBy(paused[1]));
  EXPECT_TRUE(StandsBy(paused[2]));
  EXPECT_EQ(manager_->totals().memory_mb, 2 * 128);
  std::vector<std::string> running;
  for (int i = 0; i < 7; ++i) running.push_back(Create());
  EXPECT_TRUE(WaitFor([&] { return IsCleared(paused[1]); }));
  EXPECT_TRUE(StandsBy(paused[2]));
  // Its own memory is there for it, though all is taken.
  Resume(paused[2]);
  EXPECT_EQ(Resumes("standby"), 1);
  EXPECT_EQ(manager_->totals().memory_mb, 8 * 128);
  EXPECT_EQ(manager_->Resume(kTenant, paused[0]).error().code, Code::kResourceExhausted);
  EXPECT_EQ(Stored(paused[0]).state, SandboxState::kPaused);
  for (const auto& id : running) EXPECT_EQ(Stored(id).state, SandboxState::kRunning);
  ASSERT_TRUE(manager_->Destroy(kTenant, running[0]));
  Resume(paused[0]);
}

TEST_F(StandbyTest, WhatItCannotGiveDoesNotEndIt) {
  config_.limits.max_memory_mb = 8 * 128;
  config_.limits.max_sandboxes = 1;
  StartManager();
  const std::string id = Create();
  Pause(id);
  const std::string other = Create();
  EXPECT_EQ(manager_->Create(kTenant, {}).error().code, Code::kResourceExhausted);
  EXPECT_EQ(manager_->Resume(kTenant, id).error().code, Code::kResourceExhausted);
  EXPECT_TRUE(StandsBy(id));
  EXPECT_EQ(manager_->totals().memory_mb, 2 * 128);
  ASSERT_TRUE(manager_->Destroy(kTenant, other));
  Resume(id);
  EXPECT_EQ(Resumes("standby"), 1);
}

TEST_F(StandbyTest, WhoKillsItsMachineEndsNothingElse) {
  StartManager();
  const std::string id = Create();
  Memory(id)[1] = 'k';
  Pause(id);
  engine_->Find(id)->End({"VMM killed by signal 9", false});
  ASSERT_TRUE(WaitFor([&] { return IsCleared(id); }));
  EXPECT_EQ(Stored(id).state, SandboxState::kPaused);
  EXPECT_EQ(manager_->totals().memory_mb, 0);
  Resume(id);
  EXPECT_EQ(Memory(id)[1], 'k');
}

TEST_F(StandbyTest, OneThatDoesNotAnswerIsReplacedByARestore) {
  StartManager();
  const std::string id = Create();
  Memory(id)[1] = 'k';
  Pause(id);
  engine_->Find(id)->Set({.init_fails = true});
  Memory(id)[1] = 'l';  // as if it had gone on for an instant
  Resume(id);
  EXPECT_EQ(Memory(id)[1], 'k');
  EXPECT_EQ(Resumes("restore"), 1);
  EXPECT_EQ(Resumes("standby"), 0);
  EXPECT_EQ(engine_->alive(), 1);
  EXPECT_EQ(manager_->totals().memory_mb, 128);
}

TEST_F(StandbyTest, WhenBothWaysFailItStaysPaused) {
  StartManager();
  const std::string id = Create();
  Pause(id);
  const std::string snapshot = Stored(id).snapshot;
  engine_->Find(id)->Set({.init_fails = true});
  engine_->Set({.restore_fails = true});
  EXPECT_FALSE(manager_->Resume(kTenant, id));
  EXPECT_EQ(Stored(id).state, SandboxState::kPaused);
  EXPECT_EQ(Stored(id).snapshot, snapshot);
  EXPECT_TRUE(IsCleared(id));
  EXPECT_EQ(manager_->totals().memory_mb, 0);
  EXPECT_EQ(Resumes("failed"), 1);
  engine_->Set({});
  Resume(id);
}

TEST_F(StandbyTest, TheStoresFailureLeavesItPaused) {
  StartManager();
  const std::string id = Create();
  const auto full = [](SandboxState wanted) {
    return [=](const std::string& call, SandboxState now) -> std::optional<Error> {
      if (call != "update" || now != wanted) return std::nullopt;
      return Error{Code::kResourceExhausted, "the disk is full", {}};
    };
  };
  for (const SandboxState state : {SandboxState::kResuming, SandboxState::kRunning}) {
    Pause(id);
    store_->Set(full(state));
    EXPECT_FALSE(manager_->Resume(kTenant, id));
    store_->Set(nullptr);
    EXPECT_EQ(Stored(id).state, SandboxState::kPaused);
    EXPECT_EQ(manager_->totals().sandboxes, 0);
    Resume(id);
  }
}

TEST_F(StandbyTest, AMachineThatIsHeldOrKeepsItsLayerGetsNone) {
  StartManager();
  const std::string id = Create();
  for (const FakeBehaviour behaviour :
       {FakeBehaviour{.held = true}, FakeBehaviour{.switch_fails = true}}) {
    engine_->Find(id)->Set(behaviour);
    Pause(id);
    EXPECT_TRUE(IsCleared(id));
    EXPECT_EQ(manager_->totals().memory_mb, 0);
    EXPECT_EQ(Problems(id), 0u);
    Resume(id);
  }
}

// As a server that was killed leaves them.
TEST_F(StandbyTest, AnotherServerEndsIt) {
  StartManager();
  const std::string id = Create();
  Memory(id)[77] = 'm';
  Pause(id);
  const store::SandboxRecord standing = Stored(id);
  manager_.reset();
  EXPECT_TRUE(IsCleared(id));
  store::SandboxRecord record = Stored(id);
  record.machine = standing.machine;
  record.disk = standing.disk;
  ASSERT_TRUE(real_store_->UpdateSandbox(record, nullptr));
  engine_->Add(id);
  ASSERT_TRUE(WriteFileAtomically(config_.paths.Sandbox(id) + "/" + kLeftDisk, "left"));
  StartManager();
  EXPECT_EQ(Stored(id).state, SandboxState::kPaused);
  EXPECT_TRUE(IsCleared(id));
  EXPECT_EQ(manager_->totals().memory_mb, 0);
  Resume(id);
  EXPECT_EQ(Memory(id)[77], 'm');
}

TEST_F(StandbyTest, CanBeStoppedAndRemoved) {
  StartManager();
  const std::string stopped = Create();
  const std::string removed = Create();
  Pause(stopped);
  Pause(removed);
  ASSERT_TRUE(manager_->Stop(kTenant, stopped, "asked to"));
  EXPECT_EQ(Stored(stopped).state, SandboxState::kStopped);
  ASSERT_TRUE(manager_->Destroy(kTenant, removed));
  EXPECT_EQ(engine_->alive(), 0);
  EXPECT_EQ(manager_->totals().memory_mb, 0);
  ASSERT_TRUE(manager_->Destroy(kTenant, stopped));
  ExpectNothingLeft();
}

TEST_F(StandbyTest, IsNotTouchedByWhatIsMadeOfItsSnapshot) {
  StartManager();
  const std::string id = Create();
  Memory(id)[1] = 'k';
  const auto running_disk = manager_->DiskUsedBytes(Stored(id));
  Pause(id);
  // What the snapshot has and the running one had not: a page of memory, state and map.
  constexpr uint64_t kMore = 128 << 10;
  EXPECT_GT(manager_->DiskUsedBytes(Stored(id)).value_or(0), running_disk.value_or(0));
  EXPECT_LE(manager_->DiskUsedBytes(Stored(id)).value_or(0), running_disk.value_or(0) + kMore);
  Memory(id)[1] = 'l';
  const auto children = manager_->Fork(kTenant, id, 1);
  ASSERT_TRUE(children) << children.error().ToString();
  EXPECT_EQ(Memory(children->front().id)[1], 'k');
  ASSERT_TRUE(manager_->CreateSnapshot(kTenant, id, "name", false));
  EXPECT_TRUE(StandsBy(id));
  Resume(id);
  EXPECT_EQ(Resumes("standby"), 1);
}

TEST_F(StandbyTest, OneOfManyClientsLetsItGoOn) {
  StartManager();
  CreateRequest request;
  request.timeout_sec = 0;
  request.auto_resume = true;
  const auto made = manager_->Create(kTenant, request);
  ASSERT_TRUE(made) << made.error().ToString();
  Pause(made->id);
  std::vector<std::thread> clients;
  std::atomic<int> served = 0;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&] { served += manager_->Use(kTenant, made->id).has_value(); });
  }
  for (auto& client : clients) client.join();
  EXPECT_EQ(served, 4);
  EXPECT_EQ(Resumes("standby"), 1);
  EXPECT_EQ(manager_->totals().sandboxes, 1);
}

TEST_F(StandbyTest, NoneIsLeftByAServerThatEnds) {
  StartManager();
  const std::string before = Create();
  Pause(before);
  const std::string now = Create();
  EXPECT_EQ(manager_->Shutdown(AtShutdown::kPause, Deadline::After(seconds(30))), 0);
  EXPECT_EQ(engine_->alive(), 0);
  for (const auto& id : {before, now}) {
    EXPECT_EQ(Stored(id).state, SandboxState::kPaused);
    EXPECT_TRUE(IsCleared(id));
  }
}

TEST_F(StandbyTest, ThePoolsMachinesGoBeforeIt) {
  config_.limits.max_memory_mb = 8 * 128;
  config_.warm_pool.most = 2;
  StartManager();
  const std::string first = Create();
  const std::string second = Create();
  const auto ready = [this] {
    return manager_->MetricsText().find("wrenn_warm_machines{template=\"minimal\"} 2") !=
           std::string::npos;
  };
  Pause(first);
  (void)Create();
  ASSERT_TRUE(WaitFor(ready));
  EXPECT_TRUE(WaitFor([&] { return IsCleared(first); }));
  Pause(second);  // and takes none of theirs
  EXPECT_TRUE(IsCleared(second));
  EXPECT_TRUE(ready());
  Resume(second);
}

TEST_F(StandbyTest, IsEndedWhenItsMemoryIsNotWanted) {
  StartManager();
  const std::string id = Create();
  Memory(id)[1] = 'k';
  Pause(id);
  const auto resumed = manager_->Resume(kTenant, id, true);
  ASSERT_TRUE(resumed) << resumed.error().ToString();
  EXPECT_EQ(Memory(id)[1], 0);
  EXPECT_EQ(Resumes("boot"), 1);
  EXPECT_EQ(engine_->alive(), 1);
  EXPECT_EQ(manager_->totals().memory_mb, 128);
}

TEST_F(StandbyTest, ThePoolGivesItsMemoryBackBeforeThem) {
  config_.limits.max_memory_mb = 8 * 128;
  config_.warm_pool = {.most = 0, .fixed = {{"minimal", 1}}};
  StartManager();
  const std::string id = Create();
  const auto ready = [this] {
    return manager_->MetricsText().find("wrenn_warm_machines{template=\"minimal\"} 1") !=
           std::string::npos;
  };
  ASSERT_TRUE(WaitFor(ready));
  Pause(id);
  CreateRequest other;
  other.disk_mb = 64;
  for (int i = 0; i < 7; ++i) ASSERT_TRUE(manager_->Create(kTenant, other));
  EXPECT_FALSE(ready());
  EXPECT_FALSE(IsCleared(id));
  ASSERT_TRUE(manager_->Create(kTenant, other));
  EXPECT_TRUE(WaitFor([&] { return IsCleared(id); }));
}

}  // namespace
}  // namespace wrenn::sandbox
