#include "disk/qcow2.h"

#include <gtest/gtest.h>

namespace wrenn::disk {
namespace {

std::string Header() {
  Qcow2Header header;
  header.size_bytes = 3 * kTableReach + kSector;
  header.backing = "./below";
  header.backing_format = Format::kQcow2;
  header.l1_table = 3 * kCluster;
  header.refcount_table = kCluster;
  return EncodeQcow2Header(header).value();
}

// The header with a number of `bytes` bytes at `offset` replaced.
std::string With(size_t offset, int bytes, uint64_t value) {
  std::string number;
  AppendNumber(number, value, bytes);
  return Header().replace(offset, number.size(), number);
}

TEST(Qcow2HeaderTest, RefusesToWriteWhatDoesNotFit) {
  const auto make = [](const std::string& name, uint64_t size) {
    return EncodeQcow2Header({size, name, Format::kRaw, kCluster, kCluster});
  };
  EXPECT_EQ(make("", 512).error().code, Code::kInvalidArgument);
  EXPECT_EQ(make(std::string(1024, 'a'), 512).error().code, Code::kInvalidArgument);
  EXPECT_EQ(make(std::string("a\0b", 3), 512).error().code, Code::kInvalidArgument);
  EXPECT_TRUE(make(std::string(1023, 'a'), 512));
  EXPECT_TRUE(make("a", uint64_t{4} << 40));
  EXPECT_EQ(make("a", (uint64_t{4} << 40) + 512).error().code, Code::kOutOfRange);
}

TEST(Qcow2HeaderTest, ReadsWhatItWrote) {
  for (const Format format : {Format::kRaw, Format::kQcow2}) {
    for (const uint64_t size : {uint64_t{0}, uint64_t{512}, kMaxDiskBytes}) {
      const auto bytes =
          EncodeQcow2Header({size, "../images/a b/rootfs", format, 3 * kCluster, kCluster});
      ASSERT_TRUE(bytes);
      const auto header = ParseQcow2Header(*bytes);
      ASSERT_TRUE(header) << header.error().ToString();
      EXPECT_EQ(header->backing, "../images/a b/rootfs");
      EXPECT_EQ(header->backing_format, format);
      EXPECT_EQ(header->size_bytes, size);
      EXPECT_EQ(header->l1_table, 3 * kCluster);
      EXPECT_EQ(header->refcount_table, kCluster);
    }
  }
}

TEST(Qcow2HeaderTest, RefusesFeaturesThatItDoesNotRead) {
  ASSERT_TRUE(ParseQcow2Header(Header()));
  const struct {
    const char* what;
    std::string header;
    Code code;
  } cases[] = {
      {"version 2", With(4, 4, 2), Code::kUnimplemented},
      {"clusters of 4 KiB", With(20, 4, 12), Code::kUnimplemented},
      {"clusters of 2^255", With(20, 4, 255), Code::kUnimplemented},
      {"encryption", With(32, 4, 2), Code::kUnimplemented},
      {"snapshots", With(60, 4, 1), Code::kUnimplemented},
      {"dirty", With(72, 8, 1), Code::kDataLoss},
      {"corrupt", With(72, 8, 2), Code::kDataLoss},
      {"external data", With(72, 8, 4), Code::kUnimplemented},
      {"compression type", With(72, 8, 8), Code::kUnimplemented},
      {"extended L2", With(72, 8, 16), Code::kUnimplemented},
      {"unknown feature", With(72, 8, uint64_t{1} << 63), Code::kUnimplemented},
      {"no backing", With(8, 8, 0), Code::kUnimplemented},
      {"no format", With(104, 4, 0), Code::kUnimplemented},
      {"another format", Header().replace(112, 5, "qcow3"), Code::kUnimplemented},
  };
  for (const auto& one : cases) {
    const auto read = ParseQcow2Header(one.header);
    ASSERT_FALSE(read) << one.what;
    EXPECT_EQ(read.error().code, one.code) << one.what << ": " << read.error().message;
  }
}

TEST(Qcow2HeaderTest, RefusesLies) {
  const struct {
    const char* what;
    std::string header;
  } cases[] = {
      {"empty", ""},
      {"short", Header().substr(0, 103)},
      {"magic", With(0, 4, 0)},
      {"size beyond 4 TiB", With(24, 8, kMaxDiskBytes + 512)},
      {"size of 2^64-1", With(24, 8, UINT64_MAX)},
      {"size of half a sector", With(24, 8, 256)},
      {"L1 too short", With(36, 4, 3)},
      {"L1 between clusters", With(40, 8, 3 * kCluster + 8)},
      {"L1 nowhere", With(40, 8, 0)},
      {"name behind the cluster", With(8, 8, kCluster)},
      {"name at 2^64-1", With(8, 8, UINT64_MAX)},
      {"name in the header", With(8, 8, 16)},
      {"name too long", With(16, 4, 8)},
      {"name of 4 GiB", With(16, 4, UINT32_MAX)},
      {"name of none", With(16, 4, 0)},
      {"name with NUL", With(128, 1, 0)},
      {"header too short", With(100, 4, 96)},
      {"header of 4 GiB", With(100, 4, UINT32_MAX - 7)},
      {"extension too long", With(108, 4, 17)},
      {"extension of 4 GiB", With(108, 4, UINT32_MAX)},
  };
  for (const auto& one : cases) {
    const auto read = ParseQcow2Header(one.header);
    ASSERT_FALSE(read) << one.what;
    EXPECT_EQ(read.error().code, Code::kDataLoss) << one.what << ": " << read.error().message;
  }
}

}  // namespace
}  // namespace wrenn::disk
