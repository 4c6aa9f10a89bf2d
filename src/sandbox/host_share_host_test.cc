// A sandbox's block device, as its transitions use it.
#include "sandbox/host_share.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/io.h"
#include "base/unique_fd.h"
#include "disk/backend.h"
#include "os/files.h"
#include "sandbox/sandbox_files.h"

namespace wrenn::sandbox {
namespace {

constexpr uint64_t kMiB = 1 << 20;

class HostShareTest : public testing::Test {
 protected:
  void SetUp() override {
    // /tmp is no disk in the emulated host.
    auto folder = os::TemporaryDirectory::Make(os::Exists("/host/init") ? "/host" : "");
    ASSERT_TRUE(folder);
    folder_ = std::make_unique<os::TemporaryDirectory>(std::move(*folder));
    auto disks = disk::DmSnapshots::Open(folder_->path());
    if (!disks) GTEST_SKIP() << disks.error().message;
    host_.disks = std::move(*disks);
    base_ = folder_->path() + "/base";
    ASSERT_TRUE(WriteFileAtomically(base_, std::string(4 * kMiB, 'i')));
    const auto layer = (*disk::MakeBackend("dm-snapshot"))->Create(base_, folder_->path(), 0);
    ASSERT_TRUE(layer) << layer.error().ToString();
    layer_ = *layer;
    config_.disk = folder_->path() + "/" + layer_.name;
  }
  void TearDown() override {
    if (!host_.disks) return;
    EXPECT_TRUE(host_.disks->Ids()->empty());
  }

  std::unique_ptr<os::TemporaryDirectory> folder_;
  HostResources host_;
  std::string base_;
  disk::Layer layer_;
  vmm::MachineConfig config_;
};

TEST_F(HostShareTest, DM_ADiskAtRestIsWhole) {
  HostShare share(host_, "sb-1");
  const Status taken = share.Acquire(base_, {}, config_);
  ASSERT_TRUE(taken) << taken.error().ToString();
  EXPECT_EQ(config_.disk, "/dev/mapper/wrenn-sb-1");
  UniqueFd vmm(::open(config_.disk.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::pwrite(vmm.get(), "not yet written out", 19, kMiB), 19);

  ASSERT_TRUE(share.BeginRest());
  ASSERT_TRUE(share.HoldDisk(true));
  EXPECT_FALSE(share.IsHeld());  // not now
  std::string content;
  const Status used = share.WithDiskAtRest([&]() -> Status {
    const std::string flat = folder_->path() + "/flat";
    RETURN_IF_ERROR(disk::Flatten(folder_->path(), {layer_}, base_, flat));
    ASSIGN_OR_RETURN(content, ReadFile(flat, 64 * kMiB));
    return {};
  });
  EXPECT_TRUE(used) << used.error().ToString();
  EXPECT_EQ(content.substr(kMiB, 19), "not yet written out");
  const auto fails = [] { return Fail(Code::kAborted, "no"); };
  EXPECT_EQ(share.WithDiskAtRest(fails).error().code, Code::kAborted);
  share.EndRest();

  // Its I/O goes on after both.
  ASSERT_EQ(::pwrite(vmm.get(), "more", 4, 2 * kMiB), 4);
  ASSERT_EQ(::fsync(vmm.get()), 0);
  ASSERT_TRUE(share.HoldDisk(true));
  EXPECT_TRUE(share.IsHeld());
  EXPECT_EQ(share.BeginRest().error().code, Code::kUnavailable);
  share.BeginEnd();
  EXPECT_FALSE(share.IsHeld());
  vmm.Reset();
  std::vector<std::string> gone;
  ASSERT_TRUE(share.Release({}, [&](std::string_view what) { gone.emplace_back(what); }));
  EXPECT_EQ(gone, (std::vector<std::string>{"device", "loops"}));
}

TEST_F(HostShareTest, DM_OnlyADiskOfChangesGetsADevice) {
  vmm::MachineConfig other = config_;
  other.disk = folder_->path() + "/disk-0123456789abcdefghij.qcow2";
  const std::string file = other.disk;
  HostShare share(host_, "sb-1");
  ASSERT_TRUE(share.Acquire(base_, {}, other));
  EXPECT_EQ(other.disk, file);
  EXPECT_TRUE(share.WithDiskAtRest([] { return Status(); }));
  ASSERT_TRUE(share.Release({}));
  // Where there are none it is refused.
  host_.disks.reset();
  const Status refused = share.Acquire(base_, {}, config_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kFailedPrecondition);
}

// A server that is started with another backend takes over what an earlier one has attached.
TEST_F(HostShareTest, DM_DevicesThatAreThereAreKnownWhateverTheBackend) {
  const std::string file = config_.disk;
  ASSERT_TRUE(HostShare(host_, "sb-1").Acquire(base_, {}, config_));
  host_.disks.reset();
  ManagerConfig config;
  config.paths.root = folder_->path();
  config.isolation.cgroups = Want::kOff;
  store::SandboxRecord record;
  record.id = "sb-1";
  auto without = HostResources::Open(config, {}, "qcow2", {record});
  ASSERT_TRUE(without) << without.error().ToString();
  EXPECT_FALSE(without->disks);
  record.disk = DiskJson({layer_});
  auto opened = HostResources::Open(config, {}, "qcow2", {record});
  ASSERT_TRUE(opened) << opened.error().ToString();
  ASSERT_TRUE(opened->disks);
  HostShare share(*opened, "sb-1");
  config_.disk = file;
  const Status adopted = share.Adopt({}, base_, {}, config_);
  ASSERT_TRUE(adopted) << adopted.error().ToString();
  EXPECT_EQ(config_.disk, "/dev/mapper/wrenn-sb-1");
  ASSERT_TRUE(share.Release({}));
  EXPECT_TRUE(opened->disks->Ids()->empty());
}

}  // namespace
}  // namespace wrenn::sandbox
