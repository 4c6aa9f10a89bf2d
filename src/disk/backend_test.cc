#include "disk/backend.h"

#include "disk/backend_conformance.h"
#include "disk/qcow2.h"

namespace wrenn::disk {
namespace {

uint64_t SizeOf(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

INSTANTIATE_TEST_SUITE_P(Backends, BackendTest, testing::Values("qcow2", "reflink", "copy"));

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
