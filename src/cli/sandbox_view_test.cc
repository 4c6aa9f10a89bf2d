#include "cli/sandbox_view.h"

#include <gtest/gtest.h>

namespace wrenn::cli {
namespace {

std::vector<SandboxView> Some() {
  std::vector<SandboxView> list(4);
  list[0].id = "sb-aab00000000000000000";
  list[0].status = "running";
  list[1].id = "sb-aac00000000000000000";
  list[1].status = "starting";
  list[2].id = "sb-aab11111111111111111";
  list[2].status = "stopped";
  list[3].id = "sb-zz000000000000000000";
  list[3].status = "error";
  return list;
}

TEST(MatchId, ABeginningIsEnough) {
  EXPECT_EQ(*MatchId(Some(), "sb-aac"), "sb-aac00000000000000000");
  EXPECT_EQ(*MatchId(Some(), "aac"), "sb-aac00000000000000000");
  EXPECT_EQ(*MatchId(Some(), "sb-zz000000000000000000"), "sb-zz000000000000000000");
}

TEST(MatchId, LiveOnesGoBeforeEndedOnes) {
  EXPECT_EQ(*MatchId(Some(), "aab"), "sb-aab00000000000000000");
  EXPECT_EQ(*MatchId(Some(), "aab1"), "sb-aab11111111111111111");
}

TEST(MatchId, SeveralAreAnErrorThatNamesThem) {
  const auto found = MatchId(Some(), "aa");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, Code::kInvalidArgument);
  EXPECT_NE(found.error().message.find("sb-aac00000000000000000"), std::string::npos);
  EXPECT_NE(found.error().message.find("more characters"), std::string::npos);
}

TEST(MatchId, NoneIsNotFound) {
  EXPECT_EQ(MatchId(Some(), "q").error().code, Code::kNotFound);
  EXPECT_EQ(MatchId(Some(), "").error().code, Code::kInvalidArgument);
  EXPECT_EQ(MatchId(Some(), "sb-").error().code, Code::kInvalidArgument);
}

TEST(DecodeSandbox, RefusesWhatIsNone) {
  EXPECT_FALSE(DecodeSandbox(json::value(1)));
  EXPECT_FALSE(DecodeSandbox(json::object{{"id", 3}}));
  const auto view = DecodeSandbox(json::object{{"id", "sb-1"}, {"status", "error"}, {"vcpus", 2}});
  ASSERT_TRUE(view);
  EXPECT_TRUE(view->ended());
  EXPECT_FALSE(view->runs());
  EXPECT_EQ(view->vcpus, 2);
}

}  // namespace
}  // namespace wrenn::cli
