// The disk of a sandbox that is copied while it runs stays short.
#include <gmock/gmock.h>

#include <set>

#include "disk/layers.h"
#include "os/digest.h"
#include "sandbox/manager_fixture.h"
#include "sandbox/sandbox_files.h"
#include "snapshot/folder.h"
#include "snapshot/verify.h"

namespace wrenn::sandbox {
namespace {

using store::SandboxState;
using ::testing::SizeIs;

constexpr size_t kShort = 8;

class ShortenTest : public ManagerFixture {
 protected:
  void SetUp() override {
    ManagerFixture::SetUp();
    StartManager();
    id_ = Create();
  }

  std::string Snapshot() {
    const auto made = manager_->CreateSnapshot(kTenant, id_, "", false);
    EXPECT_TRUE(made) << made.error().ToString();
    return made ? made->snapshot : "";
  }
  void SnapshotMany(int count) {
    for (int i = 0; i < count; ++i) Snapshot();
  }

  disk::Layers Recorded() { return ParseDisk(Stored(id_).disk).value_or(disk::Layers()); }
  std::string Folder() const { return config_.paths.Sandbox(id_); }

  // Whether the folder has the layers of the record and no others, and they are a chain.
  bool IsWhole() {
    const disk::Layers layers = Recorded();
    const auto found = disk::LayerNames(disk::FindLayers(Folder()).value());
    const auto wanted = disk::LayerNames(layers);
    return std::set(found.begin(), found.end()) == std::set(wanted.begin(), wanted.end()) &&
           disk::CheckLayers(Folder(), layers, image_);
  }
  size_t Problems(const std::string& snapshot) {
    const auto verdict =
        snapshot::Verify(config_.paths.Snapshot(snapshot), {image_, *os::Sha256File(image_)});
    return verdict ? verdict->problems.size() : 1000;
  }

  std::string id_;
};

TEST_F(ShortenTest, ManySnapshotsLeaveAFewLayers) {
  const std::string first = Snapshot();
  size_t most = 0;
  for (int i = 0; i < 30; ++i) {
    Snapshot();
    most = std::max(most, Recorded().size());
  }
  // The last merge may still be about to begin.
  EXPECT_LE(most, kShort + 2);
  EXPECT_TRUE(WaitFor([&] { return Recorded().size() <= kShort && IsWhole(); }));
  EXPECT_GE(engine_->Find(id_)->replaced, 3);
  EXPECT_TRUE(HasEvent(id_, "shorten", "done"));
  // What was taken before has all that it had.
  EXPECT_EQ(Problems(first), 0u);
  EXPECT_EQ(Problems(Snapshot()), 0u);
  ASSERT_TRUE(manager_->Pause(kTenant, id_, "asked to"));
  ASSERT_TRUE(manager_->Resume(kTenant, id_));
}

TEST_F(ShortenTest, AMachineThatRefusesKeepsWhatItHas) {
  engine_->Find(id_)->Set({.replace_fails = true});
  SnapshotMany(12);
  EXPECT_TRUE(WaitFor([&] { return Recorded().size() >= 13 && IsWhole(); }));
  EXPECT_EQ(engine_->Find(id_)->replaced, 0);
  // And does it when it can.
  engine_->Find(id_)->Set({});
  Snapshot();
  EXPECT_TRUE(WaitFor([&] { return Recorded().size() <= kShort && IsWhole(); }));
}

// The layer's header says already what is below it: the record must say the same.
TEST_F(ShortenTest, AMachineThatFailsHalfWayIsBelievedByItsHeader) {
  engine_->Find(id_)->Set({.replace_half_fails = true});
  SnapshotMany(20);
  EXPECT_TRUE(WaitFor([&] { return Recorded().size() <= kShort && IsWhole(); }));
  EXPECT_GE(engine_->Find(id_)->replaced, 2);
  EXPECT_EQ(Problems(Snapshot()), 0u);
}

TEST_F(ShortenTest, AServerThatEndedBeforeItWasRecordedFindsItOut) {
  engine_->Find(id_)->Set({.replace_fails = true});
  SnapshotMany(8);
  ASSERT_TRUE(WaitFor([&] { return Recorded().size() >= 9 && IsWhole(); }));
  const disk::Layers before = Recorded();
  manager_.reset();
  // Merged and switched, but neither recorded nor cleared away.
  const disk::Layers below(before.begin() + 1, before.end());
  const auto merged = disk::MergeLayers(Folder(), below, 6);
  ASSERT_TRUE(merged) << merged.error().ToString();
  engine_->Find(id_)->Set({});
  ASSERT_TRUE(engine_->Find(id_)->ReplaceBelow(Folder() + "/" + merged->name));
  // And one that had only been merged.
  ASSERT_TRUE(disk::MergeLayers(Folder(), below, 6));
  EXPECT_FALSE(IsWhole());
  StartManager();
  EXPECT_EQ(Stored(id_).state, SandboxState::kRunning);
  EXPECT_TRUE(IsWhole());
  ASSERT_THAT(Recorded(), SizeIs(before.size() - 5));
  EXPECT_EQ(Recorded()[1], *merged);
  EXPECT_EQ(Problems(Snapshot()), 0u);
}

TEST_F(ShortenTest, AStoreThatFailsLosesNothing) {
  SnapshotMany(4);
  store_->Set([](const std::string& call, SandboxState) -> std::optional<Error> {
    if (call == "update") return Error{Code::kUnavailable, "the database is locked", {}};
    return {};
  });
  SnapshotMany(12);
  store_->Set({});
  Snapshot();
  EXPECT_TRUE(WaitFor([&] { return Recorded().size() <= kShort && IsWhole(); }));
}

TEST_F(ShortenTest, ForksToo) {
  for (int i = 0; i < 20; ++i) {
    const auto children = manager_->Fork(kTenant, id_, 1);
    ASSERT_TRUE(children) << children.error().ToString();
    ASSERT_TRUE(manager_->Destroy(kTenant, children->front().id));
  }
  EXPECT_TRUE(WaitFor([&] { return Recorded().size() <= kShort && IsWhole(); }));
}

}  // namespace
}  // namespace wrenn::sandbox
