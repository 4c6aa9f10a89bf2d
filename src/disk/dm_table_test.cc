#include "disk/dm_table.h"

#include <gtest/gtest.h>
#include <sys/sysmacros.h>

namespace wrenn::disk {
namespace {

constexpr uint64_t kMiB = 1 << 20;
const SnapshotDevices kDevices{::makedev(7, 3), ::makedev(7, 300)};

TEST(DmTableTest, CoversTheBase) {
  const auto table = SnapshotTable(kDevices, {"base", 8 * kMiB, 8 * kMiB});
  ASSERT_EQ(table.size(), 1u);
  EXPECT_EQ(table[0].begin, 0u);
  EXPECT_EQ(table[0].length, 16384u);
  EXPECT_EQ(table[0].type, "snapshot");
  EXPECT_EQ(table[0].text, "7:3 7:300 P 8");
  EXPECT_EQ(*ParseSnapshotTable(table), kDevices);
}

TEST(DmTableTest, WhatIsBehindTheBaseIsBehindTheStore) {
  const CowHeader header{"base", 8 * kMiB, 20 * kMiB + 512};
  const auto table = SnapshotTable(kDevices, header);
  ASSERT_EQ(table.size(), 2u);
  EXPECT_EQ(table[1].begin, 16384u);
  EXPECT_EQ(table[1].length, 12 * 2048u + 1);
  EXPECT_EQ(table[1].type, "linear");
  EXPECT_EQ(table[1].text, "7:300 " + std::to_string(header.TailOffset() / 512));
  EXPECT_EQ(*ParseSnapshotTable(table), kDevices);
}

TEST(DmTableTest, OtherTablesAreRefused) {
  for (const char* text : {"", "7:3", "7:3 7:4", "7:3 x P 8", ":: :: P 8", "7:-3 7:4 P 8",
                           "/dev/loop1 7:4 P 8", "7:99999999999 7:4 P 8", "99999999 7:4 P 8"}) {
    EXPECT_EQ(ParseSnapshotTable({{0, 8, "snapshot", text}}).error().code, Code::kDataLoss) << text;
  }
  EXPECT_FALSE(ParseSnapshotTable({}));
  EXPECT_FALSE(ParseSnapshotTable({{0, 8, "linear", "7:3 7:4 P 8"}}));
}

TEST(DmTableTest, ReadsStates) {
  const auto good = ParseSnapshotState("24/16448 16");
  ASSERT_TRUE(good);
  EXPECT_EQ(good->failure, "");
  EXPECT_EQ(good->allocated_bytes, 24 * 512u);
  EXPECT_EQ(good->total_bytes, 16448 * 512u);
  EXPECT_EQ(good->metadata_bytes, 16 * 512u);
  EXPECT_NE(ParseSnapshotState("Invalid")->failure, "");
  EXPECT_NE(ParseSnapshotState("Overflow")->failure, "");
}

TEST(DmTableTest, OtherStatesAreRefused) {
  for (const char* text :
       {"", "Unknown", "Merge failed", "invalid", "24", "24/", "24/16", "24/30 ", "24/30 16 ",
        "24/30 16x", " 24/30 16", "-1/30 16", "24/30 25", "31/30 16", "24 /30 16",
        "1/99999999999999999999 1", "1/18446744073709551615 1"}) {
    EXPECT_EQ(ParseSnapshotState(text).error().code, Code::kDataLoss) << text;
  }
}

}  // namespace
}  // namespace wrenn::disk
