#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "base/encoding.h"
#include "base/gate.h"
#include "base/id.h"
#include "base/io.h"
#include "base/json.h"
#include "base/revert.h"

namespace wrenn {
namespace {

TEST(Error, EveryCodeHasANameThatLeadsBack) {
  for (int i = 0; i <= static_cast<int>(Code::kUnauthenticated); ++i) {
    const auto code = static_cast<Code>(i);
    EXPECT_EQ(CodeFromName(CodeName(code)), code);
  }
  EXPECT_EQ(CodeFromName("no such code"), Code::kUnknown);
}

TEST(Id, IsUniqueAndRecognised) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = NewId("sb");
    EXPECT_TRUE(IsId("sb", id)) << id;
    EXPECT_TRUE(seen.insert(id).second);
  }
  EXPECT_FALSE(IsId("sb", "sb-../../etc/passwd1234"));
  EXPECT_FALSE(IsId("sb", "sn-aaaaaaaaaaaaaaaaaaaa"));
  EXPECT_FALSE(IsId("sb", "sb-AAAAAAAAAAAAAAAAAAAA"));
}

TEST(Name, RefusesWhatCouldBeAPath) {
  EXPECT_TRUE(IsName("base"));
  EXPECT_TRUE(IsName("py-3.11_x"));
  for (const char* bad : {"", ".", "..", "a/b", "-a", "a-", "A", "a b", ".a"}) {
    EXPECT_FALSE(IsName(bad)) << bad;
  }
  EXPECT_FALSE(IsName(std::string(64, 'a')));
}

TEST(Base64, RoundTripsEveryLength) {
  for (size_t n = 0; n < 100; ++n) {
    const std::string bytes = RandomBytes(n);
    EXPECT_EQ(*Base64Decode(Base64Encode(bytes)), bytes);
  }
  EXPECT_FALSE(Base64Decode("a"));
  EXPECT_FALSE(Base64Decode("a*bc"));
}

TEST(Percent, RoundTripsAndRefusesBadEscapes) {
  const std::string text = "a b/ü%\x01+";
  EXPECT_EQ(*PercentDecode(PercentEncode(text)), text);
  EXPECT_EQ(*PercentDecode("a+b", true), "a b");
  EXPECT_FALSE(PercentDecode("%"));
  EXPECT_FALSE(PercentDecode("%zz"));
}

TEST(Utf8, FollowsRfc3629) {
  EXPECT_TRUE(IsUtf8("grün \xF0\x9F\x90\xA6"));
  EXPECT_FALSE(IsUtf8("\xC0\xAF"));          // overlong
  EXPECT_FALSE(IsUtf8("\xED\xA0\x80"));      // surrogate
  EXPECT_FALSE(IsUtf8("\xF4\x90\x80\x80"));  // beyond U+10FFFF
  EXPECT_FALSE(IsUtf8("\xE2\x82"));          // cut
}

TEST(Time, RoundTripsAndReadsOffsets) {
  const auto time = *ParseTime("2026-11-24T07:44:51.123Z");
  EXPECT_EQ(FormatTime(time), "2026-11-24T07:44:51.123Z");
  EXPECT_EQ(FormatTime(*ParseTime("2026-11-24T08:44:51+01:00")), "2026-11-24T07:44:51.000Z");
  // Beyond the clock's 64 bits: the nearest that they hold, and not one of another century.
  EXPECT_EQ(FormatTime(*ParseTime("9999-12-31T00:00:00Z")).substr(0, 4), "2261");
  EXPECT_EQ(FormatTime(*ParseTime("0001-01-01T00:00:00Z")).substr(0, 4), "1678");
  EXPECT_FALSE(ParseTime("yesterday"));
  EXPECT_FALSE(ParseTime("2026-11-24T07:44:51"));
}

TEST(Json, NamesTheFieldThatIsWrong) {
  const auto object = *ParseJsonObject(R"({"vcpus":"many","memory_mb":-1,"x":1})");
  JsonReader first(object);
  first.Int("vcpus", 1, 1, 64);
  EXPECT_EQ(first.Finish().error().message, "vcpus must be a whole number");
  JsonReader second(object);
  second.Int("memoryMb", 512, 16, 1024);
  EXPECT_EQ(second.Finish().error().message, "memoryMb must be between 16 and 1024, not -1");
  JsonReader third(object);
  third.Has("vcpus");
  EXPECT_EQ(third.FinishStrict().error().message, "unknown field 'vcpus'");
}

TEST(Json, ANumberIsFinite) {
  const auto object = *ParseJsonObject(R"({"small":1.5,"large":1e999})");
  JsonReader reader(object);
  EXPECT_EQ(reader.Double("small"), 1.5);
  EXPECT_EQ(reader.Double("large", 2), 2);
  EXPECT_EQ(reader.Finish().error().message, "large must be a number");
}

// A list of so many values of one kind.
std::string ListOf(size_t count, std::string_view value) {
  std::string text = "[";
  for (size_t i = 0; i < count; ++i) text.append(i ? "," : "").append(value);
  return text + "]";
}

TEST(Json, BoundsTheNumberOfValues) {
  EXPECT_TRUE(ParseJson(ListOf(kMaxJsonValues - 10, "0")));
  EXPECT_FALSE(ParseJson(ListOf(kMaxJsonValues + 10, "0")));
  EXPECT_FALSE(ParseJson(ListOf(kMaxJsonValues + 10, "{}")));
  // Commas and braces in texts are none of JSON's.
  const std::string commas(4 * kMaxJsonValues, ',');
  EXPECT_TRUE(ParseJson(ListOf(2, "\"\\\"{[" + commas + "\"")));
  EXPECT_FALSE(ParseJson(ListOf(kMaxJsonValues + 10, R"("\\")")));
}

TEST(Json, BoundsDepth) {
  EXPECT_FALSE(ParseJson(std::string(10000, '[')));
  EXPECT_TRUE(ParseJsonObject("")->empty());
}

TEST(Io, ReplacesAFileWholeOrNotAtAll) {
  char folder[] = "/tmp/wrenn-io-XXXXXX";
  ASSERT_TRUE(::mkdtemp(folder));
  const std::string path = std::string(folder) + "/file";
  ASSERT_TRUE(WriteFileAtomically(path, "one"));
  ASSERT_TRUE(WriteFileAtomically(path, "two", 0600));
  EXPECT_EQ(*ReadFile(path), "two");
  EXPECT_FALSE(ReadFile(path, 2));
  EXPECT_FALSE(WriteFileAtomically(std::string(folder) + "/no/such", "x"));
  ::unlink(path.c_str());
  EXPECT_EQ(::rmdir(folder), 0) << "something was left beside the file";
}

TEST(Io, ReadGivesUpAtItsDeadline) {
  auto pair = *SocketPair();
  char byte[1];
  auto got = ReadSome(pair.first.get(), byte, Deadline::After(std::chrono::milliseconds(10)));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Code::kDeadlineExceeded);
  pair.second.Reset();
  EXPECT_EQ(*ReadSome(pair.first.get(), byte, Deadline::Never()), 0u);
}

TEST(Revert, RunsInReverseUnlessDisarmed) {
  std::string order;
  {
    Revert revert;
    revert.Add([&] { order += "a"; });
    revert.Add([&] { order += "b"; });
  }
  EXPECT_EQ(order, "ba");
  {
    Revert revert;
    revert.Add([&] { order += "c"; });
    revert.Disarm();
  }
  EXPECT_EQ(order, "ba");
}

TEST(Gate, RefusesWhenClosedAndWaitsForThoseInside) {
  Gate gate;
  auto pass = gate.Enter();
  EXPECT_TRUE(pass);
  gate.Close();
  EXPECT_FALSE(gate.Enter());
  EXPECT_FALSE(gate.WaitEmpty(Deadline::After(std::chrono::milliseconds(5))));
  pass = Gate::Pass();
  EXPECT_TRUE(gate.WaitEmpty(Deadline::Never()));
}

}  // namespace
}  // namespace wrenn
