// Pausing and resuming, with memory that is really taken and given back.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include "base/id.h"
#include "sandbox/manager_fixture.h"
#include "snapshot/folder.h"
#include "snapshot/layer_digests.h"

namespace wrenn::sandbox {
namespace {

using store::SandboxState;
using ::testing::HasSubstr;
using ::testing::Not;

class PauseTest : public ManagerFixture {
 protected:
  void SetUp() override {
    ManagerFixture::SetUp();
    StartManager();
  }

  std::string SnapshotFolder(const std::string& id) {
    return config_.paths.Snapshot(Stored(id).snapshot);
  }

  void Pause(const std::string& id) {
    const auto paused = manager_->Pause(kTenant, id, "asked to");
    ASSERT_TRUE(paused) << paused.error().ToString();
    EXPECT_EQ(paused->state, SandboxState::kPaused);
  }
  void Resume(const std::string& id) {
    const auto resumed = manager_->Resume(kTenant, id);
    ASSERT_TRUE(resumed) << resumed.error().ToString();
    EXPECT_EQ(resumed->state, SandboxState::kRunning);
  }
};

TEST_F(PauseTest, MemoryComesBackAndAllElseIsGivenBack) {
  const std::string id = Create();
  Memory(id)[5000] = 'a';
  Memory(id)[100 << 20] = 'b';
  Pause(id);
  EXPECT_EQ(Stored(id).state, SandboxState::kPaused);
  EXPECT_EQ(Stored(id).reason, "asked to");
  EXPECT_TRUE(IsId("sn", Stored(id).snapshot));
  EXPECT_TRUE(Stored(id).machine.empty());
  EXPECT_EQ(engine_->alive(), 0);
  EXPECT_EQ(manager_->totals().memory_mb, 0);
  EXPECT_TRUE(RuntimeFolders().empty());
  EXPECT_TRUE(disk::FindLayers(config_.paths.Sandbox(id))->empty());
  EXPECT_EQ(manager_->Console(kTenant, id, 6).value(), "guest\n");
  EXPECT_THAT(manager_->Use(kTenant, id).error().message, HasSubstr("is paused"));
  EXPECT_EQ(manager_->Pause(kTenant, id, "again").error().code, Code::kAborted);

  Resume(id);
  EXPECT_EQ(Memory(id)[5000], 'a');
  EXPECT_EQ(Memory(id)[100 << 20], 'b');
  EXPECT_EQ(Memory(id)[7000], 0);
  EXPECT_FALSE(engine_->Find(id)->frozen);
  EXPECT_EQ(engine_->Find(id)->last_init().at("sandboxId").as_string(), id);
  EXPECT_EQ(Stored(id).state, SandboxState::kRunning);
  EXPECT_TRUE(Stored(id).snapshot.empty());
  EXPECT_TRUE(Snapshots().empty());
  EXPECT_EQ(manager_->totals().memory_mb, 128);
  EXPECT_TRUE(manager_->Use(kTenant, id));
  EXPECT_EQ(manager_->Resume(kTenant, id).error().code, Code::kAborted);
}

TEST_F(PauseTest, EachPauseWritesOnlyWhatHasChanged) {
  const std::string id = Create();
  std::fill_n(Memory(id).begin(), 8 << 20, 'x');
  Pause(id);
  EXPECT_GE(disk::AllocatedBytes(SnapshotFolder(id)), uint64_t{8} << 20);
  for (int i = 1; i <= 24; ++i) {
    const auto before = Names(SnapshotFolder(id));
    Resume(id);
    Memory(id)[static_cast<size_t>(i) << 16] = static_cast<char>(i);
    Memory(id)[20 << 20] = 'z';
    Pause(id);
    EXPECT_LE(NewMemoryBytes(before, SnapshotFolder(id)), 256u << 10) << "pause " << i;
  }
  // Neither its files nor its layers pile up.
  EXPECT_TRUE(WaitFor([&] { return Names(SnapshotFolder(id)).size() < 20; }));
  Resume(id);
  for (int i = 1; i <= 24; ++i) EXPECT_EQ(Memory(id)[static_cast<size_t>(i) << 16], i);
  EXPECT_EQ(Memory(id)[123], 'x');
}

TEST_F(PauseTest, PagesThatBecomeZeroAreZeroAgain) {
  const std::string id = Create();
  std::fill_n(Memory(id).begin(), 1 << 20, 'x');
  Pause(id);
  Resume(id);
  std::fill_n(Memory(id).begin() + 4096, 8192, 0);
  Pause(id);
  Resume(id);
  EXPECT_EQ(Memory(id)[4095], 'x');
  EXPECT_EQ(Memory(id)[4096], 0);
  EXPECT_EQ(Memory(id)[4096 + 8191], 0);
  EXPECT_EQ(Memory(id)[4096 + 8192], 'x');
}

// As if a guest had written so much.
void GrowDisk(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  const std::string data(48 << 20, 'd');
  ASSERT_EQ(::write(fd.get(), data.data(), data.size()), static_cast<ssize_t>(data.size()));
}

TEST_F(PauseTest, LayersGetTheirDigestsAtLast) {
  const auto has_all = [this](const std::string& id) {
    const auto manifest = snapshot::Open(SnapshotFolder(id));
    return manifest && snapshot::HasAllDigests(*manifest);
  };
  const std::string id = Create();
  Pause(id);
  EXPECT_TRUE(has_all(id));
  Resume(id);
  GrowDisk(engine_->Find(id)->disk());
  Pause(id);
  EXPECT_TRUE(WaitFor([&] { return has_all(id); }));
  EXPECT_EQ(Snapshots().size(), 1u);
  // A server that ended before it came to that does it at its next start.
  auto manifest = snapshot::Open(SnapshotFolder(id));
  const auto digests = manifest->layer_digests;
  manifest->layer_digests.clear();
  ASSERT_TRUE(snapshot::ReplaceManifest(SnapshotFolder(id), *manifest));
  StartManager();
  EXPECT_TRUE(WaitFor([&] { return has_all(id); }));
  EXPECT_EQ(snapshot::Open(SnapshotFolder(id))->layer_digests, digests);
  // They are known from then on: what is never written again is not read again.
  Resume(id);
  const json::object known = Stored(id).disk.at("digests").as_object();
  EXPECT_EQ(known.size(), digests.size());
  for (const auto& [layer, digest] : digests) EXPECT_EQ(known.at(layer).as_string(), digest);
}

TEST_F(PauseTest, AFailedPauseLeavesItRunning) {
  const std::string id = Create();
  engine_->Find(id)->Set({.state_fails = true});
  const auto paused = manager_->Pause(kTenant, id, "asked to");
  ASSERT_FALSE(paused);
  EXPECT_THAT(paused.error().message, HasSubstr("could not be paused"));
  EXPECT_EQ(Stored(id).state, SandboxState::kRunning);
  EXPECT_TRUE(Stored(id).snapshot.empty());
  EXPECT_FALSE(engine_->Find(id)->frozen);
  EXPECT_TRUE(manager_->Use(kTenant, id));
  EXPECT_TRUE(Snapshots().empty());
  EXPECT_TRUE(HasEvent(id, "pause", "failed"));
  // And can be paused after all.
  engine_->Find(id)->Set({});
  Pause(id);
}

TEST_F(PauseTest, AFailedResumeLeavesItPaused) {
  const std::string id = Create();
  Memory(id)[1] = 'k';
  Pause(id);
  const std::string snapshot = Stored(id).snapshot;
  for (const FakeBehaviour behaviour :
       {FakeBehaviour{.restore_fails = true}, FakeBehaviour{.init_fails = true},
        FakeBehaviour{.ends_at_once = true}}) {
    engine_->Set(behaviour);
    const auto resumed = manager_->Resume(kTenant, id);
    ASSERT_FALSE(resumed);
    EXPECT_THAT(resumed.error().message, HasSubstr("could not be resumed"));
    EXPECT_EQ(Stored(id).state, SandboxState::kPaused);
    EXPECT_EQ(Stored(id).snapshot, snapshot);
    EXPECT_EQ(engine_->alive(), 0);
    EXPECT_EQ(manager_->totals().memory_mb, 0);
    EXPECT_TRUE(RuntimeFolders().empty());
  }
  engine_->Set({});
  Resume(id);
  EXPECT_EQ(Memory(id)[1], 'k');
}

TEST_F(PauseTest, ASnapshotOfAnotherEngineIsRefusedWithTheReason) {
  const std::string id = Create();
  Pause(id);
  engine_->build = "2";
  const auto resumed = manager_->Resume(kTenant, id);
  ASSERT_FALSE(resumed);
  EXPECT_EQ(resumed.error().code, Code::kFailedPrecondition);
  EXPECT_THAT(resumed.error().message, HasSubstr("made with another engine"));
  EXPECT_THAT(resumed.error().message, HasSubstr("--cold"));
  EXPECT_EQ(Stored(id).state, SandboxState::kPaused);
  engine_->build = "1";
  Resume(id);
}

TEST_F(PauseTest, OneThatDoesNotFitAnyMoreCanBootFromItsDisk) {
  const std::string id = Create();
  Memory(id)[5000] = 'a';
  Pause(id);
  const std::string snapshot = SnapshotFolder(id);
  const auto frozen = snapshot::ReadManifest(snapshot);
  ASSERT_TRUE(frozen);
  engine_->build = "2";
  engine_->Set({.boot_fails = true});
  EXPECT_FALSE(manager_->Resume(kTenant, id, true));
  EXPECT_EQ(Stored(id).state, SandboxState::kPaused);
  EXPECT_EQ(Stored(id).origin, "boot");
  engine_->Set({});
  const int boots = engine_->boots();
  const auto resumed = manager_->Resume(kTenant, id, true);
  ASSERT_TRUE(resumed) << resumed.error().ToString();
  EXPECT_EQ(resumed->state, SandboxState::kRunning);
  EXPECT_EQ(resumed->origin, "boot: resumed without its memory");
  EXPECT_EQ(Stored(id).origin, resumed->origin);
  EXPECT_EQ(engine_->boots(), boots + 1);
  EXPECT_EQ(Memory(id)[5000], 0);
  // A new layer over those that were frozen.
  const auto layers = disk::FindLayers(config_.paths.Sandbox(id));
  ASSERT_TRUE(layers);
  EXPECT_EQ(layers->size(), frozen->layers.size() + 1);
  EXPECT_FALSE(os::Exists(snapshot));
  EXPECT_EQ(manager_->Events(kTenant, id)->back().details.at("way"), "boot");
  Pause(id);
  Resume(id);
}

TEST_F(PauseTest, ADamagedSnapshotIsRefused) {
  const std::string id = Create();
  Pause(id);
  ASSERT_TRUE(WriteFileAtomically(SnapshotFolder(id) + "/state", "other"));
  const auto resumed = manager_->Resume(kTenant, id);
  ASSERT_FALSE(resumed);
  EXPECT_EQ(resumed.error().code, Code::kDataLoss);
  EXPECT_THAT(resumed.error().message, HasSubstr("machine state is damaged"));
  EXPECT_EQ(Stored(id).state, SandboxState::kPaused);
}

// Each of its files is cut off, and changed where that is looked at when it is loaded.
TEST_F(PauseTest, NothingIsLostWhileAFileIsDamaged) {
  const std::string id = Create();
  Memory(id)[5000] = 'a';
  Pause(id);
  const std::string folder = SnapshotFolder(id);
  const std::string good = folder_->path() + "/good";
  const auto expect_refused = [&](const std::string& what) {
    const auto resumed = manager_->Resume(kTenant, id);
    ASSERT_FALSE(resumed) << what;
    EXPECT_EQ(resumed.error().code, Code::kDataLoss) << what << resumed.error().ToString();
    EXPECT_THAT(resumed.error().message, HasSubstr("be resumed")) << what;
    EXPECT_THAT(resumed.error().message, Not(HasSubstr(folder_->path()))) << what;
    EXPECT_EQ(Stored(id).state, SandboxState::kPaused) << what;
    EXPECT_EQ(engine_->alive(), 0) << what;
    EXPECT_TRUE(RuntimeFolders().empty()) << what;
  };
  int tried = 0;
  for (const std::string& name : Names(folder)) {
    const std::string path = folder + "/" + name;
    for (const bool cut : {true, false}) {
      if (!cut && name.starts_with("memory-")) continue;
      ASSERT_EQ(::rename(path.c_str(), good.c_str()), 0);
      std::string bad(10, 0);
      const UniqueFd fd(::open(good.c_str(), O_RDONLY | O_CLOEXEC));
      ASSERT_EQ(::read(fd.get(), bad.data(), bad.size()), 10) << name;
      if (!cut) bad = "#" + ReadFile(good)->substr(1);
      ASSERT_TRUE(WriteFileAtomically(path, bad));
      const std::string what = name + (cut ? " cut off: " : " changed: ");
      expect_refused(what);
      if (name.starts_with("memory-") || name.starts_with("disk-")) {
        StartManager();  // which does not read all of it
        expect_refused(what);
      }
      ASSERT_EQ(::rename(good.c_str(), path.c_str()), 0);
      ++tried;
    }
  }
  EXPECT_GE(tried, 8);
  Resume(id);
  EXPECT_EQ(Memory(id)[5000], 'a');
}

TEST_F(PauseTest, DamagedMemoryIsFoundBeforeItIsLoadedIfThatIsAskedFor) {
  config_.verify_at_load = true;
  StartManager();
  const std::string id = Create();
  Memory(id)[0] = 'x';
  Pause(id);
  // The first page that was written is the first of a file.
  const auto change = [&](char from, char to) {
    int changed = 0;
    for (const std::string& name : Names(SnapshotFolder(id))) {
      const UniqueFd fd(::open((SnapshotFolder(id) + "/" + name).c_str(), O_RDWR | O_CLOEXEC));
      char first = 0;
      if (!name.starts_with("memory-") || ::pread(fd.get(), &first, 1, 0) != 1) continue;
      if (first == from) changed += ::pwrite(fd.get(), &to, 1, 0) == 1;
    }
    return changed;
  };
  ASSERT_EQ(change('x', 'y'), 1);
  const int before = engine_->restores();
  const auto resumed = manager_->Resume(kTenant, id);
  ASSERT_FALSE(resumed);
  EXPECT_EQ(resumed.error().code, Code::kDataLoss);
  EXPECT_THAT(resumed.error().message, HasSubstr("the snapshot is damaged"));
  EXPECT_EQ(engine_->restores(), before);
  EXPECT_EQ(Stored(id).state, SandboxState::kPaused);
  ASSERT_EQ(change('y', 'x'), 1);
  Resume(id);
  EXPECT_EQ(Memory(id)[0], 'x');
}

TEST_F(PauseTest, APausedOneCanBeStoppedAndRemoved) {
  const std::string stopped = Create();
  const std::string removed = Create();
  Pause(stopped);
  Pause(removed);
  ASSERT_TRUE(manager_->Stop(kTenant, stopped, "asked to"));
  EXPECT_EQ(Stored(stopped).state, SandboxState::kStopped);
  EXPECT_EQ(Snapshots().size(), 1u);
  ASSERT_TRUE(manager_->Destroy(kTenant, removed));
  EXPECT_TRUE(Snapshots().empty());
  ASSERT_TRUE(manager_->Destroy(kTenant, stopped));
  ExpectNothingLeft();
}

TEST_F(PauseTest, AnIdleOneIsPausedInItsTime) {
  const std::string id = Create(1, "pause");
  ASSERT_TRUE(WaitForState(id, SandboxState::kPaused));
  EXPECT_EQ(Stored(id).reason, "idle for 1 s");
  Resume(id);
  ASSERT_TRUE(WaitForState(id, SandboxState::kPaused));
}

TEST_F(PauseTest, ARequestLetsOneGoOnThatWantsThat) {
  CreateRequest request;
  request.timeout_sec = 0;
  request.auto_resume = true;
  const auto made = manager_->Create(kTenant, request);
  ASSERT_TRUE(made) << made.error().ToString();
  Pause(made->id);
  EXPECT_THAT(manager_->Look(kTenant, made->id).error().message, HasSubstr("is paused"));
  EXPECT_EQ(Stored(made->id).state, SandboxState::kPaused);
  std::vector<std::thread> clients;
  std::atomic<int> served = 0;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&] { served += manager_->Use(kTenant, made->id).has_value(); });
  }
  for (auto& client : clients) client.join();
  EXPECT_EQ(served, 4);
  EXPECT_EQ(Stored(made->id).state, SandboxState::kRunning);
  EXPECT_EQ(manager_->totals().sandboxes, 1);
}

TEST_F(PauseTest, OneWhoseMachineEndsMeanwhileIsNotPaused) {
  const std::string id = Create();
  const auto vm = engine_->Find(id);
  vm->End({"VMM killed by signal 9", false});
  ASSERT_TRUE(WaitFor([&] { return !vm->alive(); }));
  const auto paused = manager_->Pause(kTenant, id, "asked to");
  ASSERT_FALSE(paused);
  ASSERT_TRUE(WaitForState(id, SandboxState::kError));
  EXPECT_EQ(Stored(id).reason, "VMM killed by signal 9");
  EXPECT_TRUE(Snapshots().empty());
}

// The end of the machine that was paused is told to the executor behind the resume that waits
// there.
TEST_F(PauseTest, OneThatIsResumedAtOnceIsNotEndedWithItsOldMachine) {
  std::thread client;
  config_.on_step = [&](const std::string& step, const store::SandboxRecord& record) {
    if (step != "pause.commit") return;
    client = std::thread([this, id = record.id] { EXPECT_TRUE(manager_->Resume(kTenant, id)); });
    // Nobody is told when it has come so far as to wait.
    std::this_thread::sleep_for(milliseconds(50));
  };
  StartManager();
  const std::string id = Create();
  ASSERT_TRUE(manager_->Pause(kTenant, id, "asked to"));
  client.join();
  // What else waits for the executor is over before this.
  ASSERT_TRUE(manager_->Ping(kTenant, id, 60));
  EXPECT_EQ(Stored(id).state, SandboxState::kRunning) << Stored(id).reason;
}

TEST_F(PauseTest, TheStoresFailureAtTheIntentChangesNothing) {
  const std::string id = Create();
  const auto full = [](SandboxState wanted) {
    return [=](const std::string& call, SandboxState now) -> std::optional<Error> {
      if (call != "update" || now != wanted) return std::nullopt;
      return Error{Code::kResourceExhausted, "the disk is full", {}};
    };
  };
  store_->Set(full(SandboxState::kPausing));
  EXPECT_EQ(manager_->Pause(kTenant, id, "").error().code, Code::kResourceExhausted);
  EXPECT_EQ(Stored(id).state, SandboxState::kRunning);
  EXPECT_TRUE(manager_->Use(kTenant, id));
  EXPECT_TRUE(Snapshots().empty());
  store_->Set(nullptr);
  Pause(id);
  store_->Set(full(SandboxState::kResuming));
  EXPECT_EQ(manager_->Resume(kTenant, id).error().code, Code::kResourceExhausted);
  EXPECT_EQ(Stored(id).state, SandboxState::kPaused);
  EXPECT_EQ(manager_->totals().memory_mb, 0);
  store_->Set(full(SandboxState::kRunning));
  EXPECT_EQ(manager_->Resume(kTenant, id).error().code, Code::kResourceExhausted);
  EXPECT_EQ(Stored(id).state, SandboxState::kPaused);
  EXPECT_EQ(engine_->alive(), 0);
  store_->Set(nullptr);
  Resume(id);
}

TEST_F(PauseTest, ShutdownCanPauseThemAll) {
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(Create());
  EXPECT_EQ(manager_->Shutdown(AtShutdown::kPause, Deadline::After(seconds(30))), 0);
  EXPECT_EQ(engine_->alive(), 0);
  for (const auto& id : ids) EXPECT_EQ(Stored(id).state, SandboxState::kPaused);
  StartManager();
  for (const auto& id : ids) Resume(id);
}

TEST_F(PauseTest, APausedOneSurvivesTheServersEnd) {
  const std::string id = Create();
  Memory(id)[77] = 'm';
  Pause(id);
  StartManager();
  EXPECT_EQ(manager_->Get(kTenant, id)->state, SandboxState::kPaused);
  Resume(id);
  EXPECT_EQ(Memory(id)[77], 'm');

  Pause(id);
  ASSERT_TRUE(os::RemoveTree(SnapshotFolder(id)));
  const std::string damaged = Create();
  Pause(damaged);
  ASSERT_TRUE(WriteFileAtomically(SnapshotFolder(damaged) + "/manifest.json", "{"));
  StartManager();
  EXPECT_EQ(Stored(id).state, SandboxState::kPaused);
  EXPECT_THAT(Stored(id).reason, HasSubstr("cannot be resumed"));
  EXPECT_EQ(Stored(damaged).state, SandboxState::kPaused);
  EXPECT_THAT(Stored(damaged).reason, HasSubstr("the snapshot's manifest is damaged"));
  // What is left of it stays until it is removed.
  EXPECT_GE(Names(SnapshotFolder(damaged)).size(), 4u);
  ASSERT_TRUE(manager_->Destroy(kTenant, damaged));
  EXPECT_TRUE(Snapshots().empty());
}

}  // namespace
}  // namespace wrenn::sandbox
