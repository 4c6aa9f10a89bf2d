#include "disk/backend.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "disk/qcow2.h"
#include "disk/sparse_copy.h"
#include "os/command.h"
#include "os/files.h"

namespace wrenn::disk {
namespace {

constexpr uint64_t kMiB = 1 << 20;

// 8 MiB: data at 1 MiB and in the last page, holes elsewhere.
void MakeBase(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_TRUE(fd);
  const std::string data(100000, 'd');
  ASSERT_EQ(::ftruncate(fd.get(), 8 * kMiB), 0);
  ASSERT_EQ(::pwrite(fd.get(), data.data(), data.size(), kMiB), static_cast<ssize_t>(data.size()));
  ASSERT_EQ(::pwrite(fd.get(), "end", 3, 8 * kMiB - 3), 3);
}

uint64_t SizeOf(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

class BackendTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    dir_ = os::TemporaryDirectory::Make();
    ASSERT_TRUE(dir_);
    base_ = dir_->path() + "/base";
    overlay_ = dir_->path() + "/sandbox";
    ASSERT_TRUE(os::MakeDirectory(overlay_));
    MakeBase(base_);
    auto backend = MakeBackend(GetParam());
    ASSERT_TRUE(backend);
    backend_ = std::move(*backend);
  }

  std::string PathOf(const Layer& layer) const { return overlay_ + "/" + layer.name; }

  Result<os::TemporaryDirectory> dir_ = Fail(Code::kUnknown, "not made");
  std::string base_;
  std::string overlay_;
  std::unique_ptr<Backend> backend_;
};

TEST_P(BackendTest, MakesALayerOfANewName) {
  auto made = backend_->Create(base_, overlay_, 0);
  ASSERT_TRUE(made) << made.error().ToString();
  EXPECT_EQ(ParseLayer(made->name).value(), *made);
  EXPECT_LT(AllocatedBytes(PathOf(*made)), kMiB);
  struct stat info;
  ASSERT_EQ(::stat(PathOf(*made).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(VirtualSize(PathOf(*made)).value(), 8 * kMiB);

  auto other = backend_->Create(base_, overlay_, 0);
  ASSERT_TRUE(other);
  EXPECT_NE(other->name, made->name);
  EXPECT_EQ(FindLayers(overlay_)->size(), 2u);
}

TEST_P(BackendTest, RefusesToShrinkAndLeavesNothing) {
  EXPECT_EQ(backend_->Create(base_, overlay_, kMiB).error().code, Code::kInvalidArgument);
  EXPECT_EQ(backend_->Create(base_ + "x", overlay_, 0).error().code, Code::kNotFound);
  EXPECT_TRUE(os::ListDirectory(overlay_)->empty());
}

INSTANTIATE_TEST_SUITE_P(Backends, BackendTest, testing::Values("qcow2", "copy"));

using Qcow2Test = BackendTest;
INSTANTIATE_TEST_SUITE_P(Qcow2, Qcow2Test, testing::Values("auto"));

TEST_P(Qcow2Test, NamesItsBaseRelatively) {
  auto made = backend_->Create(base_, overlay_, 0);
  ASSERT_TRUE(made);
  const std::string image = *ReadFile(PathOf(*made));
  EXPECT_EQ(image.size(), 4 * kCluster);
  EXPECT_LT(AllocatedBytes(PathOf(*made)), kCluster);
  EXPECT_EQ(image.substr(0, 4), "QFI\xfb");
  const auto offset = static_cast<unsigned char>(image[15]);
  const auto length = static_cast<unsigned char>(image[19]);
  EXPECT_EQ(image.substr(offset, length), "../base");
}

TEST_P(Qcow2Test, PassesQemuImgCheck) {
  if (!os::FindProgram("qemu-img")) GTEST_SKIP() << "needs qemu-img (package qemu-utils)";
  auto made = backend_->Create(base_, overlay_, 3 * 1024 * kMiB);
  ASSERT_TRUE(made);
  os::CommandOptions check;
  check.argv = {"qemu-img", "check", PathOf(*made)};
  auto checked = os::RunCommandOrFail(check, Deadline::After(std::chrono::seconds(60)));
  EXPECT_TRUE(checked) << checked.error().ToString();
  check.argv = {"qemu-img", "info", PathOf(*made)};
  auto info = os::RunCommandOrFail(check, Deadline::After(std::chrono::seconds(60)));
  ASSERT_TRUE(info);
  EXPECT_NE(info->find("backing file format: raw"), std::string::npos) << *info;
  EXPECT_NE(info->find("virtual size: 3 GiB"), std::string::npos) << *info;
  check.argv = {"qemu-img", "compare", "-f", "raw", "-F", "qcow2", base_, PathOf(*made)};
  EXPECT_TRUE(os::RunCommandOrFail(check, Deadline::After(std::chrono::seconds(60))));
}

using CopyTest = BackendTest;
INSTANTIATE_TEST_SUITE_P(Copy, CopyTest, testing::Values("copy"));

TEST_P(CopyTest, KeepsContentAndHolesAndGrows) {
  auto made = backend_->Create(base_, overlay_, 16 * kMiB + 1);
  ASSERT_TRUE(made);
  EXPECT_EQ(SizeOf(PathOf(*made)), 16 * kMiB + 512);
  std::string expected = *ReadFile(base_);
  expected.resize(16 * kMiB + 512);
  EXPECT_TRUE(*ReadFile(PathOf(*made), 64 * kMiB) == expected);
  EXPECT_LE(AllocatedBytes(PathOf(*made)), AllocatedBytes(base_));
}

TEST_P(CopyTest, CopySparseRefusesToOverwrite) {
  const std::string copy = dir_->path() + "/copy";
  ASSERT_TRUE(CopySparse(base_, copy));
  EXPECT_TRUE(*ReadFile(copy) == *ReadFile(base_));
  EXPECT_LE(AllocatedBytes(copy), AllocatedBytes(base_));
  EXPECT_EQ(CopySparse(base_, copy).error().code, Code::kAlreadyExists);
  EXPECT_TRUE(os::Exists(copy));
}

TEST(BackendNamesTest, UnknownNameIsRefused) {
  EXPECT_EQ(MakeBackend("zfs").error().code, Code::kInvalidArgument);
  EXPECT_EQ((*MakeBackend("auto"))->name(), std::string("qcow2"));
  EXPECT_EQ(AllocatedBytes("/nowhere"), 0u);
}

// A file system that can share blocks, mounted over a loop device for the life of the object.
class ReflinkMount {
 public:
  // Why it cannot be had, or empty.
  std::string Set(const std::string& directory) {
    if (::geteuid() != 0) return "needs root to mount";
    const std::string image = directory + "/fs.img";
    UniqueFd fd(::open(image.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!fd || ::ftruncate(fd.get(), 400 * kMiB) < 0) return "cannot make an image";
    os::CommandOptions make;
    if (os::FindProgram("mkfs.xfs")) {
      make.argv = {"mkfs.xfs", "-q", "-m", "reflink=1", image};
    } else if (os::FindProgram("mkfs.btrfs")) {
      make.argv = {"mkfs.btrfs", "-q", image};
    } else {
      return "needs mkfs.xfs (package xfsprogs) or mkfs.btrfs (package btrfs-progs)";
    }
    const Deadline soon = Deadline::After(std::chrono::seconds(60));
    if (auto made = os::RunCommandOrFail(make, soon); !made) return made.error().ToString();
    path_ = directory + "/mnt";
    if (!os::MakeDirectory(path_)) return "cannot make a mount point";
    os::CommandOptions mount;
    mount.argv = {"mount", "-o", "loop", image, path_};
    if (auto mounted = os::RunCommandOrFail(mount, soon); !mounted) {
      path_.clear();
      return mounted.error().ToString();
    }
    return "";
  }
  ~ReflinkMount() {
    if (path_.empty()) return;
    os::CommandOptions unmount;
    unmount.argv = {"umount", path_};  // which also frees the loop device
    (void)os::RunCommand(unmount, Deadline::After(std::chrono::seconds(60)));
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(ReflinkTest, ROOT_SharesBlocks) {
  auto dir = os::TemporaryDirectory::Make();
  ReflinkMount mount;
  if (const std::string reason = mount.Set(dir->path()); !reason.empty()) GTEST_SKIP() << reason;
  const std::string base = mount.path() + "/base";
  ASSERT_TRUE(WriteFileAtomically(base, std::string(64 * kMiB, 'x')));
  ASSERT_TRUE(os::MakeDirectory(mount.path() + "/s"));
  auto backend = MakeBackend("reflink");
  ::sync();
  const uint64_t before = *os::FreeDiskBytes(mount.path());
  auto made = (*backend)->Create(base, mount.path() + "/s", 128 * kMiB);
  ASSERT_TRUE(made) << made.error().ToString();
  ::sync();
  EXPECT_LT(before - std::min(before, *os::FreeDiskBytes(mount.path())), 8 * kMiB);
  EXPECT_EQ(SizeOf(mount.path() + "/s/" + made->name), 128 * kMiB);
  EXPECT_EQ(made->format, Format::kRaw);
}

TEST(ReflinkTest, SaysTheRemedyWhereTheFileSystemCannot) {
  auto dir = os::TemporaryDirectory::Make();
  MakeBase(dir->path() + "/base");
  ASSERT_TRUE(os::MakeDirectory(dir->path() + "/s"));
  auto backend = MakeBackend("reflink");
  auto made = (*backend)->Create(dir->path() + "/base", dir->path() + "/s", 0);
  if (made) GTEST_SKIP() << "the file system of the temporary folder can share blocks";
  EXPECT_EQ(made.error().code, Code::kUnimplemented);
  EXPECT_NE(made.error().message.find("xfs or btrfs"), std::string::npos);
  EXPECT_TRUE(os::ListDirectory(dir->path() + "/s")->empty());
}

}  // namespace
}  // namespace wrenn::disk
