#include "cli/table.h"

#include <gtest/gtest.h>

#include "base/encoding.h"
#include "cli/output.h"
#include "cli/terminal.h"

namespace wrenn::cli {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

TEST(Table, ColumnsAreAsWideAsTheirWidestCell) {
  Table table({"ID", "NAME"});
  table.Add({"1", "first"});
  table.Add({"12345", "ü"});
  table.Add({"ü", "z"});
  EXPECT_EQ(table.Format(), "ID     NAME\n1      first\n12345  ü\nü      z\n");
}

TEST(Table, CellsCannotDriveTheTerminal) {
  Table table({"A", "B"});
  table.Add({"x\x1b[2Jy\nz", ""});
  EXPECT_EQ(table.Format(), "A         B\nx?[2Jy z  -\n");
}

TEST(FormatSpan, TakesTheLargestUnit) {
  EXPECT_EQ(FormatSpan(seconds(-3)), "0s");
  EXPECT_EQ(FormatSpan(seconds(59)), "59s");
  EXPECT_EQ(FormatSpan(seconds(60)), "1m");
  EXPECT_EQ(FormatSpan(seconds(7199)), "1h");
  EXPECT_EQ(FormatSpan(hours(49)), "2d");
}

TEST(FormatAge, OfTimesAndOfNone) {
  const auto now = std::chrono::system_clock::now();
  EXPECT_EQ(FormatAge(FormatTime(now - seconds(61)), now), "1m");
  EXPECT_EQ(FormatAge("", now), "-");
  EXPECT_EQ(FormatAge("yesterday", now), "-");
}

TEST(FormatBytes, TakesTheLargestUnit) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes(3ULL << 30), "3.0 GiB");
  EXPECT_EQ(FormatBytes(UINT64_MAX), "16777216.0 TiB");
}

TEST(WithoutControls, KeepsTextAndLines) {
  EXPECT_EQ(WithoutControls("a\tb\r\nc"), "a\tb\nc");
  EXPECT_EQ(WithoutControls("\x1b]0;title\x07"), "?]0;title?");
  EXPECT_EQ(WithoutControls("\xC2\x9B"
                            "31m"),
            "?31m");
  EXPECT_EQ(WithoutControls("h\xC3\xA9"), "h\xC3\xA9");
}

TEST(FormatJson, IsIndentedAndParses) {
  const json::value value = {{"a", {1, 2}}, {"b", json::object()}, {"c", "x\"y"}};
  const std::string text = FormatJson(value);
  EXPECT_EQ(*ParseJson(text), value);
  EXPECT_EQ(text, "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {},\n  \"c\": \"x\\\"y\"\n}\n");
}

}  // namespace
}  // namespace wrenn::cli
