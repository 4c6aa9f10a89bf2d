// What fails after a machine has got another layer of its disk: the record follows the machine.
#include <gmock/gmock.h>

#include "sandbox/manager_fixture.h"
#include "sandbox/sandbox_files.h"

namespace wrenn::sandbox {
namespace {

using store::SandboxState;

class DiskSwitchTest : public ManagerFixture {
 protected:
  void SetUp() override {
    ManagerFixture::SetUp();
    config_.on_step = [this](const std::string& step, const store::SandboxRecord&) {
      if (step == failing_step_) RemoveDrafts();
    };
    StartManager();
    id_ = Create();
    Memory(id_)[77] = 'm';
  }

  // As a disk that is full would have it, but at once.
  void RemoveDrafts() {
    for (const std::string& name : Names(config_.paths.Snapshots())) {
      (void)os::RemoveTree(config_.paths.Snapshots() + "/" + name);
    }
  }
  // Its disk is what its machine writes to, and what is below that.
  void ExpectDiskIsWhole() {
    const auto layers = ParseDisk(Stored(id_).disk);
    ASSERT_TRUE(layers);
    EXPECT_EQ(config_.paths.Sandbox(id_) + "/" + layers->front().name, engine_->Find(id_)->disk());
    EXPECT_TRUE(disk::CheckLayers(config_.paths.Sandbox(id_), *layers, image_));
  }
  void ExpectPauseAndResume() {
    const auto paused = manager_->Pause(kTenant, id_, "");
    ASSERT_TRUE(paused) << paused.error().ToString();
    const auto resumed = manager_->Resume(kTenant, id_);
    ASSERT_TRUE(resumed) << resumed.error().ToString();
    EXPECT_EQ(Memory(id_)[77], 'm');
    ExpectDiskIsWhole();
  }

  std::string failing_step_;
  std::string id_;
};

TEST_F(DiskSwitchTest, SnapshotsThatFailBehindItAreNoted) {
  failing_step_ = "snapshot.switch";
  for (int i = 0; i < 2; ++i) {
    ASSERT_FALSE(manager_->Fork(kTenant, id_, 1));
    EXPECT_EQ(Stored(id_).state, SandboxState::kRunning);
    EXPECT_FALSE(engine_->Find(id_)->frozen);
    ExpectDiskIsWhole();
  }
  EXPECT_TRUE(HasEvent(id_, "snapshot", "failed"));
  failing_step_.clear();
  StartManager();
  ExpectDiskIsWhole();
  ExpectPauseAndResume();
}

// Nothing of it could be stored until the server ended.
TEST_F(DiskSwitchTest, TheNextServerFindsThem) {
  failing_step_ = "snapshot.switch";
  store_->Set([](const std::string&, SandboxState) {
    return std::optional(Error{Code::kResourceExhausted, "the disk is full", {}});
  });
  for (int i = 0; i < 3; ++i) ASSERT_FALSE(manager_->Fork(kTenant, id_, 1));
  EXPECT_EQ(ParseDisk(Stored(id_).disk)->size() + 3,
            disk::FindLayers(config_.paths.Sandbox(id_))->size());
  failing_step_.clear();
  manager_.reset();
  store_->Set(nullptr);
  StartManager();
  ExpectDiskIsWhole();
  ExpectPauseAndResume();
}

TEST_F(DiskSwitchTest, ASwitchThatCameAboutAndFailedIsFollowed) {
  engine_->Find(id_)->Set({.switch_half_fails = true});
  ASSERT_FALSE(manager_->Fork(kTenant, id_, 1));
  ExpectDiskIsWhole();
  engine_->Find(id_)->Set({});
  ExpectPauseAndResume();
}

TEST_F(DiskSwitchTest, OneOfWhichNobodyKnowsIsLookedAtBeforeTheNext) {
  engine_->Find(id_)->Set({.switch_half_fails = true, .disk_is_secret = true});
  ASSERT_FALSE(manager_->Fork(kTenant, id_, 1));
  EXPECT_TRUE(os::Exists(engine_->Find(id_)->disk()));
  // As long as it is not known nothing is made of it.
  EXPECT_FALSE(manager_->Fork(kTenant, id_, 1));
  EXPECT_FALSE(manager_->Pause(kTenant, id_, ""));
  EXPECT_EQ(Stored(id_).state, SandboxState::kRunning);
  EXPECT_TRUE(os::Exists(engine_->Find(id_)->disk()));
  engine_->Find(id_)->Set({});
  ExpectPauseAndResume();
}

}  // namespace
}  // namespace wrenn::sandbox
