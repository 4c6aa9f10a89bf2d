#include "sandbox/disk_use.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/io.h"
#include "os/files.h"

namespace wrenn::sandbox {
namespace {

using store::SandboxState;

// Files of a MiB; a file system may take a little more for each.
constexpr uint64_t kFile = 1 << 20;
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
  // How many files it takes, to the next whole number; 1000 for nothing said.
  uint64_t Used() const {
    const auto bytes = DiskUsedBytes(paths_, record_);
    if (!bytes) return 1000;
    EXPECT_LE(*bytes % kFile, 10 * kMore);
    return *bytes / kFile;
  }

  std::unique_ptr<os::TemporaryDirectory> folder_;
  os::Paths paths_;
  store::SandboxRecord record_;
};

TEST_F(DiskUseTest, CountsTheFilesThatNobodyElseHas) {
  const std::string folder = paths_.Sandbox(record_.id);
  for (const char* name : {"disk-a.qcow2", "disk-b.qcow2", "memory-c", "console.log"}) {
    Write(folder, name);
  }
  EXPECT_EQ(Used(), 4u);
  ASSERT_TRUE(os::LinkFile(folder + "/disk-a.qcow2", folder_->path() + "/shared"));
  EXPECT_EQ(Used(), 3u);
  ASSERT_TRUE(os::LinkFile(folder + "/memory-c", folder_->path() + "/shared_memory"));
  EXPECT_EQ(Used(), 2u);
}

TEST_F(DiskUseTest, HolesTakeNothing) {
  const std::string folder = paths_.Sandbox(record_.id);
  Write(folder, "disk-a.qcow2");
  Write(folder, "memory.empty");
  ASSERT_EQ(::truncate((folder + "/memory.empty").c_str(), 0), 0);
  ASSERT_EQ(::truncate((folder + "/memory.empty").c_str(), 100 << 20), 0);
  EXPECT_EQ(Used(), 1u);
}

TEST_F(DiskUseTest, APausedOneIsInItsSnapshotWithItsMemory) {
  const std::string snapshot = paths_.Snapshot(record_.snapshot);
  for (const char* name : {"disk-a.qcow2", "memory-b", "memory-c", "state", "memory.map"}) {
    Write(snapshot, name);
  }
  Write(paths_.Sandbox(record_.id), "console.log");
  EXPECT_FALSE(DiskUsedBytes(paths_, record_));
  record_.state = SandboxState::kPaused;
  EXPECT_EQ(Used(), 6u);
  // Of the template that it came from.
  ASSERT_TRUE(os::LinkFile(snapshot + "/memory-b", folder_->path() + "/shared"));
  EXPECT_EQ(Used(), 5u);
}

TEST_F(DiskUseTest, OneThatStandsByHasFilesTwice) {
  const std::string snapshot = paths_.Snapshot(record_.snapshot);
  const std::string folder = paths_.Sandbox(record_.id);
  for (const char* name : {"disk-a.qcow2", "memory-b", "memory.map"}) Write(snapshot, name);
  for (const char* name : {"disk-c.qcow2", "memory.map"}) Write(folder, name);
  for (const char* name : {"/disk-a.qcow2", "/memory-b"}) {
    ASSERT_TRUE(os::LinkFile(snapshot + name, folder + name));
  }
  record_.state = SandboxState::kPaused;
  EXPECT_EQ(Used(), 5u);
  ASSERT_TRUE(os::LinkFile(snapshot + "/disk-a.qcow2", folder_->path() + "/shared"));
  EXPECT_EQ(Used(), 4u);
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
