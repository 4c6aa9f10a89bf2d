#include "os/device_mapper.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <thread>

#include "os/files.h"
#include "os/loop_device.h"

namespace wrenn::os {
namespace {

constexpr uint64_t kSectors = 2048;
const Deadline::Duration kSoon(10000);

class DeviceMapperTest : public testing::Test {
 protected:
  void SetUp() override {
    auto mapper = DeviceMapper::Open();
    if (!mapper) GTEST_SKIP() << mapper.error().message;
    mapper_.emplace(std::move(*mapper));
    dir_ = TemporaryDirectory::Make();
    ASSERT_TRUE(dir_);
    const UniqueFd file(::open((dir_->path() + "/f").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_EQ(::ftruncate(file.get(), kSectors * 512), 0);
    auto loop = LoopDevice::Attach(file.get(), {});
    ASSERT_TRUE(loop) << loop.error().ToString();
    loop_.emplace(std::move(*loop));
    table_ = {{0, kSectors, "linear", loop_->path() + " 0"}};
  }

  void TearDown() override {
    if (!mapper_) return;
    EXPECT_TRUE(mapper_->Remove(kName, Deadline::After(kSoon)));
  }

  std::string MakeDevice() {
    EXPECT_TRUE(mapper_->Create(kName, "TEST-1"));
    EXPECT_TRUE(mapper_->Load(kName, table_));
    EXPECT_TRUE(mapper_->Resume(kName));
    auto node = mapper_->MakeNode(kName);
    EXPECT_TRUE(node) << node.error().ToString();
    return node ? *node : "";
  }

  static constexpr const char* kName = "wrenn-test-linear";
  std::optional<DeviceMapper> mapper_;
  Result<TemporaryDirectory> dir_ = Fail(Code::kUnknown, "not made");
  std::optional<LoopDevice> loop_;
  std::vector<DmTarget> table_;
};

TEST_F(DeviceMapperTest, DM_MakesADeviceStepByStep) {
  ASSERT_TRUE(mapper_->Create(kName, "TEST-1"));
  EXPECT_FALSE(mapper_->Find(kName)->has_table);
  EXPECT_TRUE(mapper_->Table(kName)->empty());
  ASSERT_TRUE(mapper_->Load(kName, table_));
  EXPECT_FALSE(mapper_->Find(kName)->has_table);
  ASSERT_TRUE(mapper_->Resume(kName));
  const auto found = mapper_->Find(kName);
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->has_table);
  EXPECT_EQ(found->name, kName);
  EXPECT_EQ(found->uuid, "TEST-1");
  const auto table = mapper_->Table(kName);
  ASSERT_TRUE(table);
  EXPECT_EQ((*table)[0].text, "7:" + std::to_string(loop_->number()) + " 0");
  EXPECT_EQ((*table)[0].length, kSectors);
  EXPECT_EQ((*mapper_->TargetStates(kName))[0].type, "linear");
  EXPECT_EQ(*mapper_->List("wrenn-test-"), std::vector<std::string>{kName});
  EXPECT_TRUE(mapper_->List("wrenn-test-nothing")->empty());

  const auto node = mapper_->MakeNode(kName);
  ASSERT_TRUE(node);
  struct stat info;
  ASSERT_EQ(::stat(node->c_str(), &info), 0);
  EXPECT_EQ(info.st_rdev, found->device);
  EXPECT_TRUE(mapper_->Remove(kName, Deadline::After(kSoon)));
  EXPECT_FALSE(Exists(*node));
  EXPECT_TRUE(mapper_->Remove(kName, Deadline::After(kSoon)));  // harmless
}

TEST_F(DeviceMapperTest, DM_RefusesWhatCannotBe) {
  MakeDevice();
  EXPECT_EQ(mapper_->Create(kName, "TEST-2").error().code, Code::kAlreadyExists);
  EXPECT_EQ(mapper_->Create("wrenn-test-other", "TEST-1").error().code, Code::kAlreadyExists);
  EXPECT_EQ(mapper_->Load(kName, {{0, kSectors, "linear", "nothing"}}).error().code,
            Code::kInvalidArgument);
  EXPECT_EQ(mapper_->Load(kName, {{0, kSectors, "nonsense", ""}}).error().code,
            Code::kInvalidArgument);
  // Beyond the loop device's end: the kernel looks when the table becomes active.
  EXPECT_TRUE(mapper_->Load(kName, {{0, 2 * kSectors, "linear", loop_->path() + " 0"}}));
  EXPECT_FALSE(mapper_->Resume(kName));
  EXPECT_EQ((*mapper_->Table(kName))[0].length, kSectors);
  for (const Error& error :
       {mapper_->Find("wrenn-test-none").error(), mapper_->Load("wrenn-test-none", table_).error(),
        mapper_->Resume("wrenn-test-none").error(), mapper_->Table("wrenn-test-none").error(),
        mapper_->MakeNode("wrenn-test-none").error()}) {
    EXPECT_EQ(error.code, Code::kNotFound) << error.ToString();
  }
  EXPECT_TRUE(mapper_->RequireTarget("linear"));
  EXPECT_EQ(mapper_->RequireTarget("nonsense").error().code, Code::kUnimplemented);
}

TEST_F(DeviceMapperTest, DM_RemovalWaitsForWhoHasItOpen) {
  UniqueFd user(::open(MakeDevice().c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(user);
  const auto refused = mapper_->Remove(kName, Deadline::After(std::chrono::milliseconds(50)));
  EXPECT_EQ(refused.error().code, Code::kDeadlineExceeded);
  EXPECT_TRUE(mapper_->Find(kName)->has_table);
  EXPECT_TRUE(Exists(DeviceMapper::NodePath(kName)));
  std::thread closer([&] {
    ::usleep(50000);  // while the other thread waits
    user.Reset();
  });
  EXPECT_TRUE(mapper_->Remove(kName, Deadline::After(kSoon)));
  closer.join();
  EXPECT_EQ(mapper_->Find(kName).error().code, Code::kNotFound);
}

TEST_F(DeviceMapperTest, DM_SuspendWritesOutAndHolds) {
  const std::string node = MakeDevice();
  const UniqueFd device(::open(node.c_str(), O_RDWR | O_CLOEXEC));
  const UniqueFd below(::open(loop_->path().c_str(), O_RDONLY | O_CLOEXEC));
  const auto first_below = [&] {
    EXPECT_EQ(::ioctl(below.get(), BLKFLSBUF, 0), 0);  // what it has cached
    char byte = '?';
    EXPECT_EQ(::pread(below.get(), &byte, 1, 0), 1);
    return byte;
  };
  ASSERT_EQ(::pwrite(device.get(), "1", 1, 0), 1);
  ASSERT_TRUE(mapper_->Suspend(kName, DeviceMapper::WriteOut::kAll));
  EXPECT_TRUE(mapper_->Find(kName)->suspended);
  EXPECT_EQ(first_below(), '1');
  EXPECT_TRUE(mapper_->Resume(kName));
  EXPECT_FALSE(mapper_->Find(kName)->suspended);

  ASSERT_EQ(::pwrite(device.get(), "2", 1, 0), 1);
  ASSERT_TRUE(mapper_->Suspend(kName, DeviceMapper::WriteOut::kNothing));
  EXPECT_EQ(first_below(), '1');
  EXPECT_TRUE(mapper_->Resume(kName));
  ASSERT_EQ(::fsync(device.get()), 0);
  EXPECT_EQ(first_below(), '2');
}

TEST_F(DeviceMapperTest, DM_NodesWithoutADeviceGo) {
  MakeDevice();
  const std::string stale = DeviceMapper::NodePath("wrenn-test-stale");
  ASSERT_EQ(::mknod(stale.c_str(), S_IFBLK | 0600, loop_->device()), 0);
  EXPECT_TRUE(mapper_->RemoveStaleNodes("wrenn-test-"));
  EXPECT_FALSE(Exists(stale));
  EXPECT_TRUE(Exists(DeviceMapper::NodePath(kName)));
}

}  // namespace
}  // namespace wrenn::os
