// Forks, snapshots as templates, and what a create starts from.
#include <future>

#include <gmock/gmock.h>

#include "base/id.h"
#include "memory/delta_bytes.h"
#include "memory/verify.h"
#include "sandbox/manager_fixture.h"
#include "snapshot/folder.h"

namespace wrenn::sandbox {
namespace {

using store::SandboxState;
using ::testing::HasSubstr;

class ForkTest : public ManagerFixture {
 protected:
  void SetUp() override {
    ManagerFixture::SetUp();
    StartManager();
  }
};

TEST_F(ForkTest, TheSecondOfATemplateIsRestored) {
  const std::string first = Create();
  EXPECT_EQ(engine_->boots(), 1);
  EXPECT_EQ(Stored(first).origin, "boot");
  const std::string second = Create();
  EXPECT_EQ(engine_->boots(), 1);
  EXPECT_EQ(engine_->restores(), 1);
  EXPECT_EQ(Stored(second).origin, "template");
  // Another size is another machine.
  CreateRequest request;
  request.memory_mb = 256;
  ASSERT_TRUE(manager_->Create(kTenant, request));
  EXPECT_EQ(engine_->boots(), 2);
}

TEST_F(ForkTest, AWarmMachineThatDoesNotFitIsMadeAnew) {
  (void)Create();
  engine_->build = "2";
  (void)Create();
  EXPECT_EQ(engine_->boots(), 2);
  (void)Create();
  EXPECT_EQ(engine_->boots(), 2);
  EXPECT_EQ(engine_->restores(), 1);
}

TEST_F(ForkTest, AWarmMachineThatDoesNotComeUpIsBooted) {
  (void)Create();
  engine_->Set({.restore_fails = true});
  const std::string id = Create();
  EXPECT_EQ(engine_->boots(), 2);
  EXPECT_THAT(Stored(id).origin, HasSubstr("boot"));
}

TEST_F(ForkTest, AWarmMachineGoesOnlyWhenItWasAtFault) {
  (void)Create();
  const auto warm = [this] {
    const std::string folder = config_.paths.Warm();
    const auto manifest = snapshot::ReadManifest(folder + "/" + Names(folder).front());
    return manifest ? manifest->id : "none";
  };
  for (const Code code : {Code::kResourceExhausted, Code::kDeadlineExceeded, Code::kUnavailable,
                          Code::kInternal, Code::kDataLoss, Code::kFailedPrecondition}) {
    const std::string before = warm();
    engine_->Set({.restore_fails = true, .why = code});
    EXPECT_THAT(Stored(Create()).origin, HasSubstr("boot"));
    const bool at_fault = code == Code::kDataLoss || code == Code::kFailedPrecondition ||
                          code == Code::kDeadlineExceeded;
    EXPECT_EQ(warm() != before, at_fault) << CodeName(code);
    engine_->Set({});
    EXPECT_EQ(Stored(Create()).origin, "template");
  }
}

TEST_F(ForkTest, ChildrenGoOnFromWhereTheParentIs) {
  const std::string parent = Create();
  Memory(parent)[9] = 'p';
  const auto children = manager_->Fork(kTenant, parent, 3);
  ASSERT_TRUE(children) << children.error().ToString();
  ASSERT_EQ(children->size(), 3u);
  EXPECT_FALSE(engine_->Find(parent)->frozen);
  EXPECT_EQ(Stored(parent).state, SandboxState::kRunning);
  EXPECT_EQ(engine_->alive(), 4);
  EXPECT_EQ(manager_->totals().sandboxes, 4);
  Memory(parent)[9] = 'q';
  for (const auto& child : *children) {
    EXPECT_NE(child.id, parent);
    EXPECT_EQ(child.state, SandboxState::kRunning);
    EXPECT_EQ(child.origin, "fork of " + parent);
    EXPECT_EQ(Memory(child.id)[9], 'p');
    EXPECT_NE(Stored(child.id).agent_token, Stored(parent).agent_token);
    EXPECT_EQ(engine_->Find(child.id)->last_init().at("sandboxId").as_string(), child.id);
    EXPECT_NE(engine_->Find(child.id)->disk(), engine_->Find(parent)->disk());
  }
  // What they started from was only for that.
  EXPECT_TRUE(Snapshots().empty());
}

TEST_F(ForkTest, AForkOfAForkHasItAll) {
  std::string id = Create();
  for (char generation = 1; generation <= 5; ++generation) {
    Memory(id)[static_cast<size_t>(generation) * 4096] = generation;
    const auto child = manager_->Fork(kTenant, id, 1);
    ASSERT_TRUE(child) << child.error().ToString();
    ASSERT_TRUE(manager_->Destroy(kTenant, id));
    id = child->front().id;
    for (char i = 1; i <= generation; ++i) {
      EXPECT_EQ(Memory(id)[static_cast<size_t>(i) * 4096], i);
    }
  }
}

TEST_F(ForkTest, APausedOneCanBeForked) {
  const std::string parent = Create();
  Memory(parent)[9] = 'p';
  ASSERT_TRUE(manager_->Pause(kTenant, parent, ""));
  const auto children = manager_->Fork(kTenant, parent, 2);
  ASSERT_TRUE(children) << children.error().ToString();
  for (const auto& child : *children) EXPECT_EQ(Memory(child.id)[9], 'p');
  EXPECT_EQ(Stored(parent).state, SandboxState::kPaused);
  const auto events = manager_->Events(kTenant, parent);
  ASSERT_TRUE(events);
  EXPECT_EQ(events->back().kind, "snapshot");
  EXPECT_TRUE(events->back().details.contains("links_ms"));
  EXPECT_TRUE(events->back().details.contains("total_ms"));
  EXPECT_NE(manager_->MetricsText().find("transition=\"snapshot\",phase=\"commit\""),
            std::string::npos);
  EXPECT_EQ(Snapshots().size(), 1u);
}

TEST_F(ForkTest, AllOrNone) {
  const std::string parent = Create();
  for (const FakeBehaviour behaviour :
       {FakeBehaviour{.restore_fails = true}, FakeBehaviour{.init_fails = true}}) {
    engine_->Set(behaviour);
    const auto children = manager_->Fork(kTenant, parent, 3);
    ASSERT_FALSE(children);
    EXPECT_THAT(children.error().message, HasSubstr("could not be forked"));
    EXPECT_TRUE(WaitFor([&] { return engine_->alive() == 1; }));
    EXPECT_TRUE(WaitFor([&] { return Folders() == std::vector<std::string>{parent}; }));
    EXPECT_EQ(manager_->totals().sandboxes, 1);
    EXPECT_FALSE(engine_->Find(parent)->frozen);
    EXPECT_TRUE(Snapshots().empty());
  }
  EXPECT_EQ(manager_->Fork(kTenant, parent, 0).error().code, Code::kInvalidArgument);
  EXPECT_EQ(manager_->Fork(kTenant, parent, 101).error().code, Code::kInvalidArgument);
  EXPECT_EQ(manager_->Fork(kTenant, "sb-none", 1).error().code, Code::kNotFound);
}

TEST_F(ForkTest, LimitsHoldForAllChildrenTogether) {
  config_.limits.max_memory_mb = 3 * 128;
  StartManager();
  const std::string parent = Create();
  EXPECT_EQ(manager_->Fork(kTenant, parent, 3).error().code, Code::kResourceExhausted);
  EXPECT_EQ(manager_->totals().sandboxes, 1);
  EXPECT_TRUE(manager_->Fork(kTenant, parent, 2));
}

TEST_F(ForkTest, AFailureOfTheSnapshotLeavesTheParentRunning) {
  const std::string parent = Create();
  for (const FakeBehaviour behaviour :
       {FakeBehaviour{.state_fails = true}, FakeBehaviour{.switch_fails = true}}) {
    const size_t layers = disk::FindLayers(config_.paths.Sandbox(parent))->size();
    engine_->Find(parent)->Set(behaviour);
    ASSERT_FALSE(manager_->Fork(kTenant, parent, 1));
    EXPECT_FALSE(engine_->Find(parent)->frozen);
    EXPECT_EQ(disk::FindLayers(config_.paths.Sandbox(parent))->size(), layers);
    EXPECT_TRUE(Snapshots().empty());
    EXPECT_EQ(Stored(parent).state, SandboxState::kRunning);
  }
  engine_->Find(parent)->Set({});
  EXPECT_TRUE(manager_->Fork(kTenant, parent, 1));
}

TEST_F(ForkTest, ASnapshotOfARunningOneWritesOnlyWhatIsNew) {
  const std::string id = Create();
  std::fill_n(Memory(id).begin(), 8 << 20, 'x');
  const auto first = manager_->CreateSnapshot(kTenant, id, "one", false);
  ASSERT_TRUE(first) << first.error().ToString();
  EXPECT_EQ(first->type, "snapshot");
  EXPECT_GE(first->size_bytes, 8 << 20);
  EXPECT_EQ(Stored(id).state, SandboxState::kRunning);
  Memory(id)[5] = 'y';
  const auto second = manager_->CreateSnapshot(kTenant, id, "two", false);
  ASSERT_TRUE(second) << second.error().ToString();
  const auto before = Names(config_.paths.Snapshot(first->snapshot));
  EXPECT_LE(NewMemoryBytes(before, config_.paths.Snapshot(second->snapshot)), 64u << 10);
  // A pause afterwards is right too.
  ASSERT_TRUE(manager_->Pause(kTenant, id, ""));
  ASSERT_TRUE(manager_->Resume(kTenant, id));
  EXPECT_EQ(Memory(id)[5], 'y');
  EXPECT_EQ(Memory(id)[6], 'x');
}

// So that those made of it share what it has written.
TEST_F(ForkTest, ASnapshotWithMuchMemoryOfItsOwnIsFlat) {
  const std::string id = Create();
  std::fill_n(Memory(id).begin(), 40 << 20, 'x');
  Memory(id)[100 << 20] = 'y';
  for (const bool paused : {false, true}) {
    if (paused) {
      ASSERT_TRUE(manager_->Pause(kTenant, id, ""));
    }
    const auto made = manager_->CreateSnapshot(kTenant, id, "one", true);
    ASSERT_TRUE(made) << made.error().ToString();
    const std::string place = config_.paths.Snapshot(made->snapshot);
    const auto image = memory::Load(place);
    ASSERT_TRUE(image);
    EXPECT_EQ(image->files.size(), 1u);
    EXPECT_EQ(memory::DeltaBytes(*image), 0u);
    const auto manifest = snapshot::Open(place);
    ASSERT_TRUE(manifest) << manifest.error().ToString();
    EXPECT_GE(manifest->sizes.memory, 40u << 20);
    EXPECT_LE(manifest->sizes.memory, 42u << 20);
    EXPECT_TRUE(memory::Verify(*image, place));
    // Nothing else is left there.
    EXPECT_EQ(Names(place).size(), 4 + manifest->layers.size());
  }
  // The sandbox itself is not touched by that.
  ASSERT_TRUE(manager_->Resume(kTenant, id));
  Memory(id)[50 << 20] = 'z';
  ASSERT_TRUE(manager_->Pause(kTenant, id, ""));
  ASSERT_TRUE(manager_->Resume(kTenant, id));
  const std::string expected = {'x', 'z', 'y'};
  EXPECT_EQ((std::string{Memory(id)[9], Memory(id)[50 << 20], Memory(id)[100 << 20]}), expected);
}

TEST_F(ForkTest, NamesOfSnapshots) {
  const std::string id = Create();
  ASSERT_TRUE(manager_->CreateSnapshot(kTenant, id, "one", false));
  EXPECT_EQ(manager_->CreateSnapshot(kTenant, id, "one", false).error().code, Code::kAlreadyExists);
  const auto other = manager_->CreateSnapshot(kTenant, id, "one", true);
  ASSERT_TRUE(other) << other.error().ToString();
  EXPECT_EQ(Snapshots(), std::vector<std::string>{other->snapshot});
  for (const char* bad : {"../x", "A b", ".", "-x"}) {
    EXPECT_EQ(manager_->CreateSnapshot(kTenant, id, bad, false).error().code,
              Code::kInvalidArgument);
  }
  const auto made_up = manager_->CreateSnapshot(kTenant, id, "", false);
  ASSERT_TRUE(made_up);
  EXPECT_THAT(made_up->name, HasSubstr("snapshot-"));
  EXPECT_EQ(Snapshots().size(), 2u);
  // They survive a restart; what nobody names does not.
  ASSERT_TRUE(os::MakeDirectory(config_.paths.Snapshot(NewId("sn"))));
  StartManager();
  EXPECT_EQ(Snapshots().size(), 2u);
}

TEST_F(ForkTest, ASnapshotSaysWhereItComesFromAndWhatItTakes) {
  const std::string id = Create();
  const auto at = [](const std::string& place) {
    const auto manifest = snapshot::ReadManifest(place);
    EXPECT_TRUE(manifest) << manifest.error().ToString();
    return manifest ? *manifest : snapshot::Manifest();
  };
  const auto paused = [&](const std::string& sandbox) {
    EXPECT_TRUE(manager_->Pause(kTenant, sandbox, ""));
    return at(config_.paths.Snapshot(Stored(sandbox).snapshot));
  };
  const auto taken = [&](const char* name) {
    const auto made = manager_->CreateSnapshot(kTenant, id, name, false);
    EXPECT_TRUE(made) << made.error().ToString();
    return at(config_.paths.Snapshot(made->snapshot));
  };
  const std::string warm = config_.paths.Warm();
  const snapshot::Manifest first = at(warm + "/" + Names(warm).front());
  EXPECT_EQ(first.parent, "");
  std::fill_n(Memory(id).begin(), 1 << 20, 'x');
  const snapshot::Manifest second = paused(id);
  EXPECT_EQ(second.parent, first.id);
  EXPECT_GT(second.sizes.state, 0u);
  EXPECT_GE(second.sizes.memory, 1u << 20);
  EXPECT_GT(second.sizes.disk, 0u);
  ASSERT_TRUE(manager_->Resume(kTenant, id));
  const snapshot::Manifest third = taken("one");
  EXPECT_EQ(third.parent, second.id);
  const auto child = manager_->Fork(kTenant, id, 1);
  ASSERT_TRUE(child) << child.error().ToString();
  // That it was forked of is what both come from.
  const snapshot::Manifest fourth = paused(id);
  EXPECT_EQ(fourth.parent, paused(child->front().id).parent);
  EXPECT_NE(fourth.parent, third.id);
  EXPECT_EQ(taken("two").parent, fourth.id);
}

TEST_F(ForkTest, OverwritesAtOnceLeaveOneSnapshot) {
  const std::string ids[] = {Create(), Create()};
  ASSERT_TRUE(manager_->CreateSnapshot(kTenant, ids[0], "one", false));
  for (int round = 0; round < 5; ++round) {
    std::vector<std::future<Result<store::TemplateRecord>>> made;
    for (const std::string& id : ids) {
      made.push_back(std::async(
          std::launch::async, [&] { return manager_->CreateSnapshot(kTenant, id, "one", true); }));
    }
    for (auto& one : made) {
      const auto record = one.get();
      EXPECT_TRUE(record) << record.error().ToString();
    }
    const auto named = real_store_->FindTemplate(kTenant, "one");
    ASSERT_TRUE(named);
    EXPECT_EQ(Snapshots(), std::vector<std::string>{named->snapshot});
  }
}

}  // namespace
}  // namespace wrenn::sandbox
