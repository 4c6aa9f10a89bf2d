#include "disk/qcow2_reader.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "disk/qcow2_writer.h"
#include "disk/sparse_copy.h"

namespace wrenn::disk {
namespace {

constexpr uint64_t kL1 = kCluster;  // where Qcow2Writer puts it
constexpr uint64_t kL2 = 4 * kCluster;
constexpr uint64_t kCopied = uint64_t{1} << 63;

using Table = std::vector<Cluster>;

// An image in memory, written number by number.
class Image {
 public:
  explicit Image(uint64_t size_bytes) : fd_(::memfd_create("image", MFD_CLOEXEC)) {
    EXPECT_TRUE(WriteEmptyQcow2(fd_.get(), "./below", Format::kRaw, size_bytes));
    Resize(6 * kCluster);
  }
  Image& Put(uint64_t offset, uint64_t value) {
    std::string bytes;
    AppendNumber(bytes, value, 8);
    EXPECT_TRUE(WriteAt(fd_.get(), bytes, offset));
    return *this;
  }
  Image& Resize(uint64_t bytes) {
    EXPECT_EQ(::ftruncate(fd_.get(), static_cast<off_t>(bytes)), 0);
    return *this;
  }
  Result<Qcow2Reader> Open() const { return Qcow2Reader::Open(UniqueFd(::dup(fd_.get()))); }
  // Of opening or checking it.
  Code Error() const {
    const auto reader = Open();
    if (!reader) return reader.error().code;
    const Status checked = reader->Check();
    EXPECT_FALSE(checked);
    return checked ? Code::kUnknown : checked.error().code;
  }

 private:
  UniqueFd fd_;
};

Image WithTable(uint64_t size_bytes = kTableReach) {
  Image image(size_bytes);
  image.Put(kL1, kL2 | kCopied);
  return image;
}

std::span<Cluster, kTableEntries> Span(Table& table) {
  return std::span<Cluster, kTableEntries>(table);
}

TEST(Qcow2ReaderTest, TellsDataFromZerosFromNothing) {
  Image image = WithTable(kTableReach + 1024);
  image.Put(kL2, 5 * kCluster | kCopied).Put(kL2 + 8, 1).Put(kL2 + 16, 4 * kCluster | 1);
  const auto reader = image.Open();
  ASSERT_TRUE(reader) << reader.error().ToString();
  EXPECT_EQ(reader->tables(), 2u);
  Table table(kTableEntries, 77);
  ASSERT_TRUE(reader->ReadTable(0, Span(table)).value());
  EXPECT_EQ(table[0], 5 * kCluster);
  EXPECT_EQ(table[1], kZeros);
  EXPECT_EQ(table[2], kZeros);  // with room in the file
  EXPECT_EQ(table[3], kUnallocated);
  EXPECT_FALSE(reader->ReadTable(1, Span(table)).value());
  EXPECT_TRUE(reader->Check());
}

TEST(Qcow2ReaderTest, WhatIsBehindTheEndsDoesNotCount) {
  Image image = WithTable(kCluster + 512);
  image.Put(kL2 + 8, 5 * kCluster).Put(kL2 + 16, UINT64_MAX);
  Table table(kTableEntries);
  ASSERT_TRUE(image.Open()->ReadTable(0, Span(table)).value());
  EXPECT_EQ(table[1], 5 * kCluster);
  EXPECT_EQ(table[2], kUnallocated);
  // The file ends in the middle of the table, and later in the middle of the data.
  image.Resize(kL2 + 8);
  EXPECT_FALSE(image.Open()->ReadTable(0, Span(table)).value());
  image.Resize(5 * kCluster + 1).Put(kL2, 5 * kCluster);
  EXPECT_TRUE(image.Open()->Check());
}

TEST(Qcow2ReaderTest, RefusesImpossibleEntries) {
  const uint64_t bad[] = {
      6 * kCluster,  // behind the file
      5 * kCluster + 512, 5 * kCluster | 2,     5 * kCluster | uint64_t{1} << 56,
      uint64_t{1} << 61,  0x00ff'ffff'ffff'0000};
  for (const uint64_t entry : bad) {
    EXPECT_EQ(Image(kTableReach).Put(kL1, entry).Error(), Code::kDataLoss) << std::hex << entry;
    EXPECT_EQ(WithTable().Put(kL2 + 80, entry).Error(), Code::kDataLoss) << std::hex << entry;
  }
  EXPECT_EQ(Image(kTableReach).Put(kL1, kL2 | 1).Error(), Code::kDataLoss);
  EXPECT_EQ(WithTable().Put(kL2, uint64_t{1} << 62).Error(), Code::kUnimplemented);
  EXPECT_EQ(Image(kTableReach).Resize(kL1).Error(), Code::kDataLoss);
}

TEST(Qcow2ReaderTest, RefusesAClusterThatIsUsedTwice) {
  EXPECT_EQ(WithTable().Put(kL2, 5 * kCluster).Put(kL2 + 8, 5 * kCluster).Error(), Code::kDataLoss);
  EXPECT_EQ(WithTable().Put(kL2, kL1).Error(), Code::kDataLoss);
  EXPECT_EQ(WithTable().Put(kL2, kL2).Error(), Code::kDataLoss);
  EXPECT_EQ(WithTable(2 * kTableReach).Put(kL1 + 8, kL2).Error(), Code::kDataLoss);
}

TEST(Qcow2ReaderTest, RefusesAFileOfHugeLength) {
  Image image = WithTable();
  image.Resize(2 * kMaxDiskBytes);
  EXPECT_TRUE(image.Open()->Check());
  EXPECT_EQ(image.Resize(2 * kMaxDiskBytes + 1).Error(), Code::kDataLoss);
}

}  // namespace
}  // namespace wrenn::disk
