#include "sandbox/disk_use.h"

#include <gtest/gtest.h>

#include "base/io.h"
#include "os/files.h"

namespace wrenn::sandbox {
namespace {

using store::SandboxState;

// Files of 64 KiB; a file system may take a little more for each.
constexpr uint64_t kFile = 64 << 10;
constexpr uint64_t kMore = 16 << 10;

class DiskUseTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto folder = os::TemporaryDirectory::Make();
    ASSERT_TRUE(folder);
    folder_ = std::make_unique<os::TemporaryDirectory>(std::move(*folder));
    paths_.root = folder_->path();
    record_.id = "sb-1";
    record_.snapshot = "sn-1";
    record_.state = SandboxState::kRunning;
  }
  static void Write(const std::string& folder, const std::string& name) {
    ASSERT_TRUE(os::MakeDirectories(folder));
    ASSERT_TRUE(WriteFileAtomically(folder + "/" + name, std::string(kFile, 'x')));
  }
  uint64_t Used() const { return DiskUsedBytes(paths_, record_).value_or(UINT64_MAX); }

  std::unique_ptr<os::TemporaryDirectory> folder_;
  os::Paths paths_;
  store::SandboxRecord record_;
};

TEST_F(DiskUseTest, CountsTheLayersThatNobodyElseHas) {
  const std::string folder = paths_.Sandbox(record_.id);
  Write(folder, "disk-a.qcow2");
  Write(folder, "disk-b.qcow2");
  Write(folder, "memory-c");
  EXPECT_GE(Used(), 2 * kFile);
  EXPECT_LE(Used(), 2 * (kFile + kMore));
  ASSERT_TRUE(os::LinkFile(folder + "/disk-a.qcow2", folder_->path() + "/shared"));
  EXPECT_GE(Used(), kFile);
  EXPECT_LE(Used(), kFile + kMore);
}

TEST_F(DiskUseTest, APausedOneIsInItsSnapshot) {
  Write(paths_.Snapshot(record_.snapshot), "disk-a.qcow2");
  Write(paths_.Sandbox(record_.id), "console.log");
  EXPECT_FALSE(DiskUsedBytes(paths_, record_));
  record_.state = SandboxState::kPaused;
  EXPECT_GE(Used(), kFile);
  EXPECT_LE(Used(), kFile + kMore);
}

TEST_F(DiskUseTest, OneThatStandsByHasEachLayerTwice) {
  Write(paths_.Snapshot(record_.snapshot), "disk-a.qcow2");
  Write(paths_.Sandbox(record_.id), "disk-b.qcow2");
  const std::string layer = paths_.Snapshot(record_.snapshot) + "/disk-a.qcow2";
  ASSERT_TRUE(os::LinkFile(layer, paths_.Sandbox(record_.id) + "/disk-a.qcow2"));
  record_.state = SandboxState::kPaused;
  EXPECT_GE(Used(), kFile);
  ASSERT_TRUE(os::LinkFile(layer, folder_->path() + "/shared"));
  EXPECT_EQ(Used(), 0u);
}

TEST_F(DiskUseTest, OneThatHasEndedHasNone) {
  Write(paths_.Sandbox(record_.id), "disk-a.qcow2");
  record_.state = SandboxState::kStopped;
  EXPECT_FALSE(DiskUsedBytes(paths_, record_));
  record_.state = SandboxState::kRunning;
  record_.id = "sb-2";
  EXPECT_FALSE(DiskUsedBytes(paths_, record_));
}

}  // namespace
}  // namespace wrenn::sandbox
