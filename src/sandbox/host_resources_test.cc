#include "sandbox/host_resources.h"

#include <gtest/gtest.h>

#include "os/files.h"

namespace wrenn::sandbox {
namespace {

class DiskBackendTest : public testing::Test {
 protected:
  void SetUp() override {
    auto folder = os::TemporaryDirectory::Make();
    ASSERT_TRUE(folder);
    folder_ = std::make_unique<os::TemporaryDirectory>(std::move(*folder));
    config_.paths.root = folder_->path();
    qemu_.name = "qemu";
    firecracker_.name = "firecracker";
    firecracker_.raw_disks = true;
  }

  Result<std::string> Choose(const std::string& wanted, const vmm::EngineInfo& engine) {
    config_.disk_backend = wanted;
    return ChooseDiskBackend(config_, engine);
  }

  std::unique_ptr<os::TemporaryDirectory> folder_;
  ManagerConfig config_;
  vmm::EngineInfo qemu_;
  vmm::EngineInfo firecracker_;
};

TEST_F(DiskBackendTest, IsQcow2ForQemuUnlessConfigured) {
  for (const char* wanted : {"auto", "qcow2"}) EXPECT_EQ(Choose(wanted, qemu_).value(), "qcow2");
  for (const char* wanted : {"copy", "reflink"}) EXPECT_EQ(Choose(wanted, qemu_).value(), wanted);
  EXPECT_EQ(Choose("zfs", qemu_).error().code, Code::kInvalidArgument);
  EXPECT_EQ(Choose("qcow2", firecracker_).error().code, Code::kFailedPrecondition);
  EXPECT_NE(Choose("auto", firecracker_).value(), "qcow2");
}

// Not a fall-back to another: it was asked for.
TEST_F(DiskBackendTest, IsADmSnapshotWhereThereAreSome) {
  const bool there = disk::DmSnapshots::Open(folder_->path()).has_value();
  for (const vmm::EngineInfo& engine : {qemu_, firecracker_}) {
    const auto chosen = Choose("dm-snapshot", engine);
    EXPECT_EQ(chosen.has_value(), there);
    if (chosen) {
      EXPECT_EQ(*chosen, "dm-snapshot");
    } else {
      EXPECT_NE(chosen.error().message.find("'dm-snapshot': "), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace wrenn::sandbox
