#include "disk/loop_registry.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <atomic>
#include <optional>
#include <thread>
#include <vector>

#include "base/io.h"
#include "os/files.h"

namespace wrenn::disk {
namespace {

const Deadline::Duration kSoon(10000);

class LoopRegistryTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    if (!os::Exists("/dev/loop-control")) GTEST_SKIP() << "needs loop devices";
    dir_ = os::TemporaryDirectory::Make();
    ASSERT_TRUE(dir_);
    image_ = dir_->path() + "/image";
    ASSERT_TRUE(WriteFileAtomically(image_, std::string(1 << 20, 'i')));
  }

  // To the image: others take the free ones at once.
  bool IsAttached(dev_t device) const {
    const UniqueFd image(::open(image_.c_str(), O_RDONLY | O_CLOEXEC));
    return *os::FileOfLoop(::minor(device)) == std::optional(*os::IdentityOf(image.get()));
  }

  Result<os::TemporaryDirectory> dir_ = Fail(Code::kUnknown, "not made");
  std::string image_;
};

TEST_F(LoopRegistryTest, ROOT_OneDeviceForAllUsesOfAnImage) {
  LoopRegistry registry;
  auto first = registry.Acquire(image_);
  ASSERT_TRUE(first) << first.error().ToString();
  const dev_t device = first->device();
  ASSERT_TRUE(os::LinkFile(image_, image_ + ".link"));
  auto second = registry.Acquire(image_ + ".link");
  ASSERT_TRUE(second);
  EXPECT_EQ(second->device(), device);
  EXPECT_EQ(registry.size(), 1u);
  ASSERT_TRUE(WriteFileAtomically(image_ + "2", "another"));
  auto other = registry.Acquire(image_ + "2");
  ASSERT_TRUE(other);
  EXPECT_NE(other->device(), device);
  EXPECT_EQ(registry.size(), 2u);

  EXPECT_TRUE(first->Release(Deadline::After(kSoon)));
  EXPECT_TRUE(first->Release(Deadline::After(kSoon)));  // harmless
  EXPECT_TRUE(IsAttached(device));
  EXPECT_TRUE(second->Release(Deadline::After(kSoon)));
  EXPECT_FALSE(IsAttached(device));
  EXPECT_EQ(registry.size(), 1u);
}

TEST_F(LoopRegistryTest, ROOT_EndingALeaseReleasesIt) {
  LoopRegistry registry;
  dev_t device = 0;
  {
    auto lease = registry.Acquire(image_);
    ASSERT_TRUE(lease);
    device = lease->device();
    std::optional<LoopRegistry::Lease> moved(std::move(*lease));
    EXPECT_TRUE(IsAttached(device));
  }
  EXPECT_FALSE(IsAttached(device));
  EXPECT_EQ(registry.size(), 0u);
}

TEST_F(LoopRegistryTest, ROOT_AdoptsWhatAnotherHasAttached) {
  std::optional<LoopRegistry> former(std::in_place);
  auto left = former->Acquire(image_);
  ASSERT_TRUE(left);
  LoopRegistry registry;
  const unsigned number = ::minor(left->device());
  auto adopted = registry.Adopt(image_, number);
  ASSERT_TRUE(adopted) << adopted.error().ToString();
  // Still attached then, for the other.
  EXPECT_EQ(left->Release(Deadline::After({})).error().code, Code::kDeadlineExceeded);
  EXPECT_TRUE(IsAttached(adopted->device()));
  auto again = registry.Acquire(image_);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->device(), adopted->device());
  ASSERT_TRUE(WriteFileAtomically(image_ + "2", "another"));
  EXPECT_EQ(registry.Adopt(image_ + "2", number).error().code, Code::kNotFound);
}

TEST_F(LoopRegistryTest, ROOT_AnImageThatVanishedIsAnError) {
  LoopRegistry registry;
  EXPECT_EQ(registry.Acquire(dir_->path() + "/none").error().code, Code::kNotFound);
  EXPECT_EQ(registry.Acquire(dir_->path()).error().code, Code::kFailedPrecondition);
  EXPECT_EQ(registry.size(), 0u);
}

TEST_F(LoopRegistryTest, ROOT_ManyAtOnce) {
  LoopRegistry registry;
  std::atomic<int> failures = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 50; ++j) {
        auto lease = registry.Acquire(image_);
        if (!lease || !IsAttached(lease->device())) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(registry.size(), 0u);
}

}  // namespace
}  // namespace wrenn::disk
