// Paused sandboxes whose machine cannot be ended, or whose snapshot cannot be read: what they were
// stays.
#include <gmock/gmock.h>

#include "sandbox/manager_fixture.h"
#include "snapshot/folder.h"

namespace wrenn::sandbox {
namespace {

using store::SandboxState;
using ::testing::HasSubstr;
using ::testing::Not;

class UnkillableTest : public ManagerFixture {
 protected:
  void SetUp() override {
    ManagerFixture::SetUp();
    StartManager();
    id_ = Create();
    Memory(id_)[77] = 'm';
  }

  // Of its machine: it ends after all.
  void End() {
    engine_->Find(id_)->Set({});
    engine_->Find(id_)->End({"killed at last", false});
  }
  void ExpectPaused() {
    EXPECT_EQ(Stored(id_).state, SandboxState::kPaused) << Stored(id_).reason;
    EXPECT_EQ(Snapshots().size(), 1u);
  }
  void ExpectItGoesOn() {
    const auto resumed = manager_->Resume(kTenant, id_);
    ASSERT_TRUE(resumed) << resumed.error().ToString();
    EXPECT_EQ(Memory(id_)[77], 'm');
    EXPECT_TRUE(manager_->Use(kTenant, id_));
  }

  std::string id_;
};

TEST_F(UnkillableTest, APauseIsOneAllTheSame) {
  engine_->Find(id_)->Set({.unkillable = true});
  const auto paused = manager_->Pause(kTenant, id_, "asked to");
  ASSERT_TRUE(paused) << paused.error().ToString();
  ExpectPaused();
  EXPECT_EQ(manager_->totals().memory_mb, 128);  // which it has as long as it is there
  EXPECT_EQ(manager_->Resume(kTenant, id_).error().code, Code::kUnavailable);
  ExpectPaused();
  End();
  EXPECT_TRUE(WaitFor([&] { return manager_->totals().memory_mb == 0; }));
  ExpectPaused();
  ExpectItGoesOn();
}

TEST_F(UnkillableTest, AFailedResumeDoesNotCostTheSnapshot) {
  ASSERT_TRUE(manager_->Pause(kTenant, id_, "asked to"));
  engine_->Set({.init_fails = true, .unkillable = true});
  const auto resumed = manager_->Resume(kTenant, id_);
  ASSERT_FALSE(resumed);
  EXPECT_THAT(resumed.error().message, HasSubstr("could not be resumed"));
  ExpectPaused();
  EXPECT_EQ(engine_->alive(), 1);
  engine_->Set({});
  End();
  EXPECT_TRUE(WaitFor([&] { return manager_->totals().memory_mb == 0; }));
  ExpectPaused();
  ExpectItGoesOn();
}

TEST_F(UnkillableTest, NorDoesTheNextServersStart) {
  ASSERT_TRUE(manager_->Pause(kTenant, id_, "asked to"));
  engine_->Set({.init_fails = true, .unkillable = true});
  ASSERT_FALSE(manager_->Resume(kTenant, id_));
  StartManager();
  ExpectPaused();
  EXPECT_EQ(manager_->Resume(kTenant, id_).error().code, Code::kUnavailable);
  ExpectPaused();
  engine_->Set({});
  engine_->Find(id_)->Set({});
  ExpectItGoesOn();
}

TEST_F(UnkillableTest, ItCanBeRemovedInTheEnd) {
  engine_->Find(id_)->Set({.unkillable = true});
  ASSERT_TRUE(manager_->Pause(kTenant, id_, "asked to"));
  EXPECT_FALSE(manager_->Destroy(kTenant, id_));
  EXPECT_EQ(Stored(id_).state, SandboxState::kError);
  End();
  EXPECT_TRUE(WaitFor([&] { return manager_->totals().memory_mb == 0; }));
  EXPECT_TRUE(manager_->Destroy(kTenant, id_));
  ExpectNothingLeft();
}

TEST_F(UnkillableTest, ASnapshotThatCannotBeReadIsKept) {
  ASSERT_TRUE(manager_->Pause(kTenant, id_, "asked to"));
  const std::string manifest =
      config_.paths.Snapshot(Stored(id_).snapshot) + snapshot::kManifestFile;
  const std::string content = *ReadFile(manifest);
  for (const std::string& damaged : {std::string("no manifest"), std::string()}) {
    ASSERT_TRUE(WriteFileAtomically(manifest, damaged));
    StartManager();
    ExpectPaused();
    EXPECT_THAT(Stored(id_).reason, HasSubstr("cannot be resumed"));
    EXPECT_THAT(Stored(id_).reason, Not(HasSubstr(config_.paths.root)));
    EXPECT_FALSE(manager_->Resume(kTenant, id_));
    ExpectPaused();
  }
  ASSERT_TRUE(WriteFileAtomically(manifest, content));
  ExpectItGoesOn();
}

}  // namespace
}  // namespace wrenn::sandbox
