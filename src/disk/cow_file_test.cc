#include "disk/cow_file.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

#include "base/unique_fd.h"
#include "disk/qcow2.h"
#include "disk/sparse_copy.h"

namespace wrenn::disk {
namespace {

constexpr uint64_t kMiB = 1 << 20;

class CowFileTest : public testing::Test {
 protected:
  void Make(uint64_t base_bytes, uint64_t disk_bytes) {
    fd_.Reset(::memfd_create("changes", MFD_CLOEXEC));
    header_ = {"../base", base_bytes, disk_bytes};
    const Status made = WriteEmptyCow(fd_.get(), header_);
    ASSERT_TRUE(made) << made.error().ToString();
  }

  void Put(uint64_t offset, uint64_t value, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
    ASSERT_TRUE(WriteAt(fd_.get(), text, offset));
  }

  // As the kernel does it: the metadata of area `index` / 256, and the chunk itself.
  void PutException(uint64_t index, uint64_t base_chunk, uint64_t file_chunk) {
    const uint64_t area = 1 + index / 256 * 257;
    Put(area * kChunk + index % 256 * 16, base_chunk, 8);
    Put(area * kChunk + index % 256 * 16 + 8, file_chunk, 8);
  }

  Code Failure() {
    const auto header = ReadCowHeader(fd_.get());
    if (!header) return header.error().code;
    const auto exceptions = ReadCowExceptions(fd_.get(), *header);
    return exceptions ? Code::kUnknown : exceptions.error().code;
  }

  UniqueFd fd_;
  CowHeader header_;
};

TEST_F(CowFileTest, StoreHasRoomForItsMetadata) {
  EXPECT_EQ(CowStoreBytes(512), 3 * kChunk);
  EXPECT_EQ(CowStoreBytes(kChunk), 3 * kChunk);
  EXPECT_EQ(CowStoreBytes(255 * kChunk), (1 + 1 + 255) * kChunk);
  // With the second area's metadata, which is cleared when the first is full.
  EXPECT_EQ(CowStoreBytes(256 * kChunk), (1 + 1 + 256 + 1) * kChunk);
  EXPECT_EQ(CowStoreBytes(257 * kChunk), (1 + 1 + 256 + 1 + 1) * kChunk);
  EXPECT_EQ(CowStoreBytes(kMaxDiskBytes) / kChunk, 1 + (1ull << 30) + (1ull << 22) + 1);
}

TEST_F(CowFileTest, IsSparseAndSaysWhatItIs) {
  Make(8 * kMiB, 20 * kMiB + 512);
  const auto header = ReadCowHeader(fd_.get());
  ASSERT_TRUE(header) << header.error().ToString();
  EXPECT_EQ(header->base, "../base");
  EXPECT_EQ(header->base_bytes, 8 * kMiB);
  EXPECT_EQ(header->disk_bytes, 20 * kMiB + 512);
  struct stat info;
  ASSERT_EQ(::fstat(fd_.get(), &info), 0);
  EXPECT_EQ(static_cast<uint64_t>(info.st_size), header->FileBytes());
  EXPECT_EQ(header->FileBytes() % kChunk, 0u);
  EXPECT_LE(info.st_blocks * 512, 8 * 4096);
  EXPECT_TRUE(ReadCowExceptions(fd_.get(), *header)->empty());
}

TEST_F(CowFileTest, RefusesOtherSizesAndNames) {
  const UniqueFd fd(::memfd_create("changes", MFD_CLOEXEC));
  EXPECT_EQ(WriteEmptyCow(fd.get(), {"b", 100, 512}).error().code, Code::kFailedPrecondition);
  EXPECT_EQ(WriteEmptyCow(fd.get(), {"b", 0, 512}).error().code, Code::kFailedPrecondition);
  EXPECT_EQ(WriteEmptyCow(fd.get(), {"b", 1024, 512}).error().code, Code::kFailedPrecondition);
  EXPECT_EQ(WriteEmptyCow(fd.get(), {"b", 512, kMaxDiskBytes + 512}).error().code,
            Code::kOutOfRange);
  EXPECT_EQ(WriteEmptyCow(fd.get(), {"", 512, 512}).error().code, Code::kInvalidArgument);
  EXPECT_EQ(WriteEmptyCow(fd.get(), {std::string(1024, 'b'), 512, 512}).error().code,
            Code::kInvalidArgument);
}

TEST_F(CowFileTest, ReadsExceptionsOfManyAreas) {
  Make(1024 * kChunk, 1024 * kChunk);
  std::vector<CowException> expected;
  for (uint64_t i = 0; i < 600; ++i) {
    const CowException put{1000 - i, 2 + i + i / 256};
    PutException(i, put.base_chunk, put.file_chunk);
    expected.insert(expected.begin(), put);
  }
  const auto found = ReadCowExceptions(fd_.get(), *ReadCowHeader(fd_.get()));
  ASSERT_TRUE(found) << found.error().ToString();
  EXPECT_EQ(*found, expected);
}

TEST_F(CowFileTest, MergesOverTheBase) {
  Make(5 * kChunk - 512, 8 * kChunk);  // it ends within a chunk
  PutException(0, 1, 2);
  PutException(1, 2, 3);
  PutException(2, 4, 4);
  PutException(3, 3, 5);  // a hole
  ASSERT_TRUE(WriteAt(fd_.get(), std::string(kChunk, 'a'), 2 * kChunk));
  ASSERT_TRUE(WriteAt(fd_.get(), std::string(kChunk, 'b'), 3 * kChunk));
  ASSERT_TRUE(WriteAt(fd_.get(), std::string(kChunk, 'c'), 4 * kChunk));
  ASSERT_TRUE(WriteAt(fd_.get(), "tail", header_.TailOffset() + 512));
  const UniqueFd to(::memfd_create("flat", MFD_CLOEXEC));
  ASSERT_TRUE(WriteAt(to.get(), std::string(header_.base_bytes, 'x'), 0));
  const Status merged = MergeCow(fd_.get(), header_, to.get());
  ASSERT_TRUE(merged) << merged.error().ToString();

  std::string expected = std::string(kChunk, 'x') + std::string(kChunk, 'a') +
                         std::string(kChunk, 'b') + std::string(kChunk, '\0') +
                         std::string(kChunk - 512, 'c');
  expected.resize(8 * kChunk);
  expected.replace(5 * kChunk, 4, "tail");
  std::string found(8 * kChunk + 1, '?');
  EXPECT_EQ(*ReadAt(to.get(), std::span(found), 0), 8 * kChunk);
  found.resize(8 * kChunk);
  EXPECT_TRUE(found == expected);
}

TEST_F(CowFileTest, BecomesLarger) {
  Make(5 * kChunk, 5 * kChunk + 512);
  PutException(0, 1, 2);
  ASSERT_TRUE(WriteAt(fd_.get(), std::string(kChunk, 'a'), 2 * kChunk));
  ASSERT_TRUE(WriteAt(fd_.get(), "tail", header_.TailOffset()));
  const UniqueFd to(::memfd_create("flat", MFD_CLOEXEC));
  // Within the chunk where its end is, by none, and by many.
  for (const uint64_t bytes : {5 * kChunk + 1024, 5 * kChunk + 1024, 300 * kChunk}) {
    const Status grown = GrowCow(fd_.get(), bytes);
    ASSERT_TRUE(grown) << grown.error().ToString();
    const auto header = ReadCowHeader(fd_.get());
    ASSERT_TRUE(header) << header.error().ToString();
    EXPECT_EQ(header->base, "../base");
    EXPECT_EQ(header->base_bytes, 5 * kChunk);
    EXPECT_EQ(header->disk_bytes, bytes);
    ASSERT_EQ(::ftruncate(to.get(), 0), 0);
    ASSERT_TRUE(WriteAt(to.get(), std::string(5 * kChunk, 'x'), 0));
    ASSERT_TRUE(MergeCow(fd_.get(), *header, to.get()));
    std::string expected =
        std::string(kChunk, 'x') + std::string(kChunk, 'a') + std::string(3 * kChunk, 'x') + "tail";
    expected.resize(bytes);
    std::string found(bytes + 1, '?');
    EXPECT_EQ(*ReadAt(to.get(), std::span(found), 0), bytes);
    found.resize(bytes);
    EXPECT_TRUE(found == expected) << bytes;
  }
  EXPECT_EQ(GrowCow(fd_.get(), 299 * kChunk).error().code, Code::kInvalidArgument);
  EXPECT_EQ(GrowCow(fd_.get(), 300 * kChunk + 1).error().code, Code::kFailedPrecondition);
  EXPECT_EQ(GrowCow(fd_.get(), kMaxDiskBytes + 512).error().code, Code::kOutOfRange);
}

TEST_F(CowFileTest, RefusesWhatIsDamaged) {
  const auto make = [&] { Make(1024 * kChunk, 1024 * kChunk); };
  const auto expect = [&](Code code, const char* what) { EXPECT_EQ(Failure(), code) << what; };
  make();
  expect(Code::kUnknown, "nothing");
  Put(0, 0, 4);
  expect(Code::kDataLoss, "the kernel's magic");
  make();
  Put(4, 0, 4);
  expect(Code::kDataLoss, "given up by the kernel");
  make();
  Put(12, 16, 4);
  expect(Code::kUnimplemented, "the chunk size");
  make();
  const uint64_t own = header_.FileBytes() - kChunk;
  Put(own, 0, 1);
  expect(Code::kDataLoss, "wrenn's magic");
  make();
  Put(own + 8, 2, 4);
  expect(Code::kUnimplemented, "wrenn's version");
  make();
  Put(own + 12, 5000, 4);
  expect(Code::kDataLoss, "the name's length");
  make();
  Put(own + 16, 1025 * kChunk, 8);
  expect(Code::kDataLoss, "the base's size");
  make();
  ASSERT_EQ(::ftruncate(fd_.get(), static_cast<off_t>(own)), 0);
  expect(Code::kDataLoss, "cut off");
  ASSERT_EQ(::ftruncate(fd_.get(), 100), 0);
  expect(Code::kDataLoss, "next to nothing");

  make();
  PutException(0, 1024, 2);
  expect(Code::kDataLoss, "a chunk behind the base's end");
  make();
  for (const uint64_t chunk : {uint64_t{1}, uint64_t{258}, CowStoreBytes(1024 * kChunk) / kChunk}) {
    PutException(0, 0, chunk);
    expect(Code::kDataLoss, "a chunk that is no data");
  }
  make();
  PutException(0, 0, 2);
  PutException(1, 1, 2);
  expect(Code::kDataLoss, "one chunk for two");
  make();
  PutException(0, 0, 2);
  PutException(1, 0, 3);
  expect(Code::kDataLoss, "two chunks for one");
}

}  // namespace
}  // namespace wrenn::disk
