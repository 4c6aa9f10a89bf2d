#include "memory/writer.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>

#include "memory/delta_bytes.h"
#include "memory/image_fixture.h"
#include "memory/test_mount.h"

namespace wrenn::memory {
namespace {

using WriterTest = ImageFixture;

uint64_t AllocatedBytes(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_blocks) * 512 : 0;
}
ino_t InodeOf(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

TEST_F(WriterTest, TheFirstImageIsASparseBase) {
  const std::string folder = Folder("a");
  const Image image = TakeBase(folder);
  EXPECT_EQ(written_.candidate_bytes, kSize);
  EXPECT_EQ(written_.data_bytes, 290 * kPageSize);
  EXPECT_EQ(written_.zero_bytes, 0u);
  ASSERT_EQ(image.files.size(), 1u);
  EXPECT_EQ(image.base, 0u);
  EXPECT_EQ(image.extents, (std::vector<Extent>{{0, kSize, 0, 0}}));
  const std::string path = folder + "/" + image.files[0].name;
  EXPECT_LE(AllocatedBytes(path), 300 * kPageSize);
  struct stat info;
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ExpectContent(image, folder);
}

TEST_F(WriterTest, ABaseIsMadeEvenOfNothing) {
  const std::string folder = Folder("a");
  auto image = WriteImage(Image::Zero(kSize), folder, {}, Reader(), folder, written_);
  ASSERT_TRUE(image) << image.error().ToString();
  EXPECT_EQ(image->base, 0u);
  ExpectContent(*image, folder);
}

TEST_F(WriterTest, OnlyChangesAreWritten) {
  const std::string first = Folder("a");
  const std::string second = Folder("b");
  const std::string third = Folder("c");
  const Image base = TakeBase(first);
  const Image image = TakeNext(base, first, second);
  EXPECT_EQ(written_.data_bytes, 40 * kPageSize);
  EXPECT_EQ(written_.zero_bytes, 10 * kPageSize);
  ASSERT_EQ(image.files.size(), 2u);
  EXPECT_EQ(image.files[1].size, 40 * kPageSize);
  EXPECT_EQ(DeltaBytes(image), 50 * kPageSize);
  EXPECT_EQ(InodeOf(first + "/" + base.files[0].name), InodeOf(second + "/" + base.files[0].name));
  ExpectContent(image, second);

  // Nothing has changed: no file, the same image.
  const auto same = Take(image, second, third);
  ASSERT_TRUE(same) << same.error().ToString();
  EXPECT_EQ(*same, image);
  EXPECT_EQ(written_.data_bytes + written_.zero_bytes, 0u);
  EXPECT_EQ(FilesIn(third).size(), 2u);
  ExpectContent(*same, third);
}

// docs: a page that the guest zeroed is dirty and zero, not "unchanged".
TEST_F(WriterTest, AZeroedPageIsSaidToBeZero) {
  const std::string first = Folder("a");
  const std::string second = Folder("b");
  const Image base = TakeBase(first);
  std::fill(ram_.begin(), ram_.end(), 0);
  const auto image = Take(base, first, second);
  ASSERT_TRUE(image);
  EXPECT_EQ(written_.zero_bytes, 290 * kPageSize);
  EXPECT_EQ(image->files.size(), 1u) << "no file of zeros";
  ExpectContent(*image, second);
}

TEST_F(WriterTest, FilesThatNothingNeedsAreLeftBehind) {
  const std::string first = Folder("a");
  const std::string second = Folder("b");
  const std::string third = Folder("c");
  const Image image = TakeNext(TakeBase(first), first, second);
  // All pages of the second file anew.
  for (uint64_t page = 280; page < 320; ++page) Scribble(ram_.data(), page, page + 5000);
  const auto next = Take(image, second, third);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->files.size(), 2u);
  EXPECT_EQ(FilesIn(third).size(), 2u);
  EXPECT_NE(next->files[1].name, image.files[1].name);
  ExpectContent(*next, third);
}

TEST_F(WriterTest, TheSameFolderWillDo) {
  const std::string folder = Folder("a");
  const Image image = TakeNext(TakeBase(folder), folder, folder);
  EXPECT_EQ(FilesIn(folder).size(), 2u);
  ExpectContent(image, folder);
}

TEST_F(WriterTest, OnlyCandidatesAreRead) {
  const std::string folder = Folder("a");
  const Image base = TakeBase(folder);
  const std::vector<char> before = ram_;
  for (uint64_t page = 0; page < kPages; ++page) Scribble(ram_.data(), page, 77);
  const Ranges candidates{{0, kPageSize}, {299 * kPageSize, 400 * kPageSize}};
  const auto image = WriteImage(base, folder, candidates, Reader(), folder, written_);
  ASSERT_TRUE(image);
  EXPECT_EQ(written_.candidate_bytes, 401 * kPageSize);
  std::vector<char> wanted = before;
  for (const Range& range : candidates) {
    std::memcpy(wanted.data() + range.offset, ram_.data() + range.offset, range.length);
  }
  ram_ = wanted;
  ExpectContent(*image, folder);
  EXPECT_EQ(WriteImage(base, folder, {{kSize, kPageSize}}, Reader(), folder, written_).error().code,
            Code::kInvalidArgument);
}

// Whatever fails, the target is as it was.
TEST_F(WriterTest, AFailureLeavesNothingNew) {
  const std::string first = Folder("a");
  const std::string second = Folder("b");
  const Image image = TakeNext(TakeBase(first), first, first);
  for (uint64_t page = 0; page < kPages; ++page) Scribble(ram_.data(), page, 3);

  int calls = 0;
  const PageReader failing = [&](uint64_t offset, std::span<char> out) -> Status {
    if (++calls == 3) return Fail(Code::kUnavailable, "the machine has ended");
    return Reader()(offset, out);
  };
  EXPECT_EQ(WriteImage(image, first, {{0, kSize}}, failing, second, written_).error().code,
            Code::kUnavailable);
  EXPECT_TRUE(FilesIn(second).empty());

  // The second link fails, after the first has been made.
  ASSERT_TRUE(WriteFileAtomically(second + "/" + image.files[1].name, "another"));
  ram_[0] = static_cast<char>(ram_[0] + 1);
  const auto partly = WriteImage(image, first, {{0, kPageSize}}, Reader(), second, written_);
  EXPECT_EQ(partly.error().code, Code::kAlreadyExists);
  EXPECT_EQ(FilesIn(second), std::vector<std::string>{image.files[1].name});
  EXPECT_EQ(*ReadFile(second + "/" + image.files[1].name), "another");

  EXPECT_FALSE(Take(image, first, dir_->path() + "/none"));
  EXPECT_EQ(FilesIn(first).size(), 2u);
}

TEST_F(WriterTest, DamagedFilesBeforeAreNoticed) {
  const std::string first = Folder("a");
  const std::string second = Folder("b");
  const Image image = TakeNext(TakeBase(first), first, first);
  const std::string packed = first + "/" + image.files[1].name;
  ASSERT_EQ(::truncate(packed.c_str(), kPageSize), 0);
  EXPECT_EQ(Take(image, first, second).error().code, Code::kDataLoss);
  ASSERT_EQ(::unlink(packed.c_str()), 0);
  EXPECT_EQ(Take(image, first, second).error().code, Code::kDataLoss);
  ASSERT_EQ(::mkfifo(packed.c_str(), 0600), 0);
  EXPECT_EQ(Take(image, first, second).error().code, Code::kDataLoss);
  EXPECT_TRUE(FilesIn(second).empty());
}

TEST_F(WriterTest, AMachineThatEndsMidwayLeavesNothing) {
  const std::string empty = dir_->path() + "/empty";
  const std::string folder = Folder("a");
  ASSERT_TRUE(MakeEmptyBase(empty, kSize));
  auto machine = TestMachine::Start(empty, kSize);
  ASSERT_TRUE(machine);
  for (uint64_t page = 0; page < kPages; ++page) machine->Make({.page = page, .seed = page});
  auto memory = machine->Memory();
  ASSERT_TRUE(memory);
  const PageReader read = [&](uint64_t offset, std::span<char> out) {
    if (offset > kSize / 2) machine->Kill();
    return memory->Read(offset, out);
  };
  const auto image =
      WriteImage(Image::Zero(kSize), folder, *memory->Written(), read, folder, written_);
  EXPECT_EQ(image.error().code, Code::kUnavailable);
  EXPECT_TRUE(FilesIn(folder).empty());
}

// In a child, since the limit is the whole process's.
TEST_F(WriterTest, AFileSizeLimitIsAFailureLikeAnother) {
  const std::string folder = Folder("a");
  for (uint64_t page = 0; page < kPages; ++page) Scribble(ram_.data(), page, 1);
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit limit{kSize / 2, kSize / 2};
    (void)::signal(SIGXFSZ, SIG_IGN);
    if (::setrlimit(RLIMIT_FSIZE, &limit) < 0) ::_exit(2);
    const auto image = Take(Image::Zero(kSize), folder, folder);
    ::_exit(!image && image.error().code == Code::kResourceExhausted ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(FilesIn(folder).empty());
}

TEST_F(WriterTest, ROOT_AFullDiskIsAFailureLikeAnother) {
  TestMount mount;
  if (const std::string reason = mount.MountTmpfs(dir_->path(), "size=2m"); !reason.empty()) {
    GTEST_SKIP() << reason;
  }
  const Image base = TakeBase(mount.path());
  const auto files = FilesIn(mount.path());
  for (uint64_t page = 0; page < kPages; ++page) Scribble(ram_.data(), page, 1);
  EXPECT_EQ(Take(base, mount.path(), mount.path()).error().code, Code::kResourceExhausted);
  EXPECT_EQ(FilesIn(mount.path()), files);
  EXPECT_TRUE(Verify(base, mount.path())) << "the last good image is as it was";
}

}  // namespace
}  // namespace wrenn::memory
