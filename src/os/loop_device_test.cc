#include "os/loop_device.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "base/io.h"
#include "os/files.h"

namespace wrenn::os {
namespace {

constexpr uint64_t kMiB = 1 << 20;
const Deadline::Duration kSoon(10000);

class LoopDeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    if (!Exists("/dev/loop-control")) GTEST_SKIP() << "needs loop devices (kernel module 'loop')";
    dir_ = TemporaryDirectory::Make();
    ASSERT_TRUE(dir_);
    file_ = Make("image");
  }

  // A file of 1 MiB.
  UniqueFd Make(const std::string& name) {
    UniqueFd fd(::open((dir_->path() + "/" + name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    EXPECT_TRUE(fd && ::ftruncate(fd.get(), kMiB) == 0 && ::pwrite(fd.get(), "begin", 5, 0) == 5);
    return fd;
  }

  static std::string Sysfs(const LoopDevice& loop, const std::string& name) {
    const auto text =
        ReadFile("/sys/block/loop" + std::to_string(loop.number()) + "/" + name, 4096);
    return text ? *text : "";
  }

  Result<TemporaryDirectory> dir_ = Fail(Code::kUnknown, "not made");
  UniqueFd file_;
};

TEST_F(LoopDeviceTest, ROOT_ShowsTheFile) {
  auto loop = LoopDevice::Attach(file_.get(), {});
  ASSERT_TRUE(loop) << loop.error().ToString();
  EXPECT_EQ(loop->file(), *IdentityOf(file_.get()));
  EXPECT_EQ(*FileOfLoop(loop->number()), loop->file());
  UniqueFd device(::open(loop->path().c_str(), O_RDWR | O_CLOEXEC));
  struct stat info;
  ASSERT_EQ(::fstat(device.get(), &info), 0);
  EXPECT_EQ(info.st_rdev, loop->device());
  uint64_t bytes = 0;
  EXPECT_EQ(::ioctl(device.get(), BLKGETSIZE64, &bytes), 0);
  EXPECT_EQ(bytes, kMiB);
  ASSERT_EQ(::pwrite(device.get(), "other", 5, 4096), 5);
  ASSERT_EQ(::fsync(device.get()), 0);
  char read[5];
  EXPECT_EQ(::pread(file_.get(), read, 5, 4096), 5);
  EXPECT_EQ(std::string(read, 5), "other");
  device.Reset();
  EXPECT_EQ(Sysfs(*loop, "loop/autoclear"), "1\n");
  const unsigned number = loop->number();
  const FileIdentity file = loop->file();
  EXPECT_TRUE(loop->Detach(Deadline::After(kSoon)));
  // Others take the free ones at once.
  EXPECT_NE(*FileOfLoop(number), std::optional(file));
}

TEST_F(LoopDeviceTest, ROOT_ReadOnlyIsReadOnly) {
  const UniqueFd file(::open((dir_->path() + "/image").c_str(), O_RDONLY | O_CLOEXEC));
  auto loop = LoopDevice::Attach(file.get(), {.read_only = true});
  ASSERT_TRUE(loop) << loop.error().ToString();
  EXPECT_EQ(Sysfs(*loop, "ro"), "1\n");
  UniqueFd device(::open(loop->path().c_str(), O_RDWR | O_CLOEXEC));
  EXPECT_FALSE(device && ::pwrite(device.get(), "x", 1, 0) == 1);
}

TEST_F(LoopDeviceTest, ROOT_DirectWhereTheFileSystemCan) {
  const bool can = static_cast<bool>(
      UniqueFd(::open((dir_->path() + "/image").c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC)));
  auto loop = LoopDevice::Attach(file_.get(), {.direct_io = true});
  ASSERT_TRUE(loop) << loop.error().ToString();
  EXPECT_EQ(Sysfs(*loop, "loop/dio"), can ? "1\n" : "0\n");
  auto buffered = LoopDevice::Attach(file_.get(), {});
  EXPECT_EQ(Sysfs(*buffered, "loop/dio"), "0\n");
}

TEST_F(LoopDeviceTest, ROOT_DetachWaitsForOtherUsers) {
  auto loop = LoopDevice::Attach(file_.get(), {});
  ASSERT_TRUE(loop);
  UniqueFd user(::open(loop->path().c_str(), O_RDONLY | O_CLOEXEC));
  const unsigned number = loop->number();
  const FileIdentity file = loop->file();
  EXPECT_EQ(loop->Detach(Deadline::After(std::chrono::milliseconds(50))).error().code,
            Code::kDeadlineExceeded);
  EXPECT_EQ(*FileOfLoop(number), file);  // not pulled away from under its user
  std::thread closer([&] {
    ::usleep(50000);  // while the other thread waits
    user.Reset();
  });
  EXPECT_TRUE(WaitDetached(number, file, Deadline::After(kSoon)));
  closer.join();
  EXPECT_NE(*FileOfLoop(number), std::optional(file));
}

TEST_F(LoopDeviceTest, ROOT_OpensAgainOnlyWhatItWas) {
  auto loop = LoopDevice::Attach(file_.get(), {});
  ASSERT_TRUE(loop);
  {
    auto again = LoopDevice::Open(loop->number(), loop->file());
    ASSERT_TRUE(again) << again.error().ToString();
    EXPECT_EQ(again->path(), loop->path());
  }
  const UniqueFd other = Make("other");
  EXPECT_EQ(LoopDevice::Open(loop->number(), *IdentityOf(other.get())).error().code,
            Code::kNotFound);
  EXPECT_EQ(*FileOfLoop(loop->number()), loop->file());
}

TEST_F(LoopDeviceTest, ROOT_KeepsTheLockOfTheFile) {
  ASSERT_EQ(::flock(file_.get(), LOCK_EX | LOCK_NB), 0);
  auto loop = LoopDevice::Attach(file_.get(), {});
  ASSERT_TRUE(loop);
  file_.Reset();
  file_.Reset(::open((dir_->path() + "/image").c_str(), O_RDWR | O_CLOEXEC));
  EXPECT_NE(::flock(file_.get(), LOCK_EX | LOCK_NB), 0);
  EXPECT_TRUE(loop->Detach(Deadline::After(kSoon)));
  EXPECT_EQ(::flock(file_.get(), LOCK_EX | LOCK_NB), 0);
}

TEST_F(LoopDeviceTest, ROOT_AKilledProcessLeavesNone) {
  int report[2];
  ASSERT_EQ(::pipe2(report, O_CLOEXEC), 0);
  const UniqueFd in(report[0]);
  UniqueFd out(report[1]);
  const pid_t child = ::fork();
  if (child == 0) {
    auto loop = LoopDevice::Attach(file_.get(), {});
    const unsigned number = loop ? loop->number() : 0;
    (void)!::write(report[1], &number, sizeof number);
    ::pause();
  }
  out.Reset();
  unsigned number = 0;
  ASSERT_EQ(::read(in.get(), &number, sizeof number), static_cast<ssize_t>(sizeof number));
  EXPECT_EQ(*FileOfLoop(number), *IdentityOf(file_.get()));
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(WaitDetached(number, *IdentityOf(file_.get()), Deadline::After(kSoon)));
}

TEST_F(LoopDeviceTest, ROOT_ManyAtOnceGetDifferentOnes) {
  std::atomic<int> failures = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      const UniqueFd file = Make("file" + std::to_string(i));
      for (int j = 0; j < 20; ++j) {
        auto loop = LoopDevice::Attach(file.get(), {});
        const bool mine = loop && *FileOfLoop(loop->number()) == *IdentityOf(file.get());
        if (!mine || !loop->Detach(Deadline::After(kSoon))) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
}

}  // namespace
}  // namespace wrenn::os
