#include "memory/range.h"

#include <gtest/gtest.h>

#include <random>

namespace wrenn::memory {
namespace {

constexpr uint64_t kPages = 64;

Ranges FromBits(uint64_t bits) {
  Ranges ranges;
  for (uint64_t page = 0; page < kPages; ++page) {
    if (bits >> page & 1) Append(ranges, {page * kPageSize, kPageSize});
  }
  return ranges;
}

TEST(RangeTest, UnitesAndIntersectsLikeSetsOfPages) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 2000; ++round) {
    // Long and short runs.
    const uint64_t a = random() & random();
    const uint64_t b = random() | (random() & random() << 3);
    EXPECT_EQ(Unite(FromBits(a), FromBits(b)), FromBits(a | b));
    const uint64_t first = random() % kPages;
    const uint64_t count = random() % (kPages - first) + 1;
    const uint64_t window = (count == 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1) << first;
    EXPECT_EQ(Intersect(FromBits(a), {first * kPageSize, count * kPageSize}), FromBits(a & window));
    EXPECT_TRUE(CheckRanges(FromBits(a), kPages * kPageSize));
  }
}

TEST(RangeTest, SplitsIntoEqualParts) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 500; ++round) {
    const Ranges ranges = FromBits(random() | 1);
    const size_t parts = 1 + random() % 9;
    const std::vector<Ranges> pieces = Split(ranges, parts);
    ASSERT_LE(pieces.size(), parts);
    Ranges together;
    for (const Ranges& piece : pieces) {
      EXPECT_GT(TotalLength(piece), 0u);
      EXPECT_LE(TotalLength(piece), TotalLength(ranges) / parts + kPageSize);
      for (const Range& range : piece) Append(together, range);
    }
    EXPECT_EQ(together, ranges);
  }
  EXPECT_TRUE(Split({}, 3).empty());
}

TEST(RangeTest, ChecksRanges) {
  const uint64_t p = kPageSize;
  EXPECT_TRUE(CheckRanges({}, 0));
  EXPECT_TRUE(CheckRanges({{0, p}, {2 * p, p}}, 3 * p));
  EXPECT_FALSE(CheckRanges({{0, p}, {p, p}}, 3 * p)) << "touching";
  EXPECT_FALSE(CheckRanges({{0, 2 * p}, {p, p}}, 3 * p)) << "overlapping";
  EXPECT_FALSE(CheckRanges({{2 * p, p}, {0, p}}, 3 * p)) << "not sorted";
  EXPECT_FALSE(CheckRanges({{0, 4 * p}}, 3 * p)) << "too long";
  EXPECT_FALSE(CheckRanges({{UINT64_MAX - p + 1, 2 * p}}, 3 * p)) << "overflow";
  EXPECT_FALSE(CheckRanges({{0, 0}}, 3 * p)) << "empty";
  EXPECT_FALSE(CheckRanges({{1, p}}, 3 * p)) << "no page";
}

}  // namespace
}  // namespace wrenn::memory
