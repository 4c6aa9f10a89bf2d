#include "template/debian_version.h"

#include <gtest/gtest.h>

#include <string>

#include "os/command.h"
#include "os/process.h"

namespace wrenn::template_ {
namespace {

// In rising order.
constexpr std::string_view kRising[] = {
    "",           "1~~",        "1~~a",     "1~",       "1",         "1a",
    "1+b",        "6.1.9-1",    "6.1.90-1", "6.1.99-1", "6.1.192-2", "6.1.192-2+b1",
    "6.1.192-10", "6.12~rc1-1", "6.12-1",   "6.12-1.1", "1:0",       "2:0.1-1",
};

int Sign(int number) { return (number > 0) - (number < 0); }

TEST(DebianVersionTest, OrdersAsPolicyHasIt) {
  const int count = std::size(kRising);
  for (int i = 0; i < count; ++i) {
    for (int j = 0; j < count; ++j) {
      EXPECT_EQ(Sign(CompareVersions(kRising[i], kRising[j])), Sign(i - j))
          << kRising[i] << " and " << kRising[j];
    }
  }
  EXPECT_EQ(CompareVersions("1.01-0", "1.1-0"), 0);
  EXPECT_EQ(CompareVersions("0:1", "1"), 0);
}

TEST(DebianVersionTest, AgreesWithDpkg) {
  if (!os::FindProgram("dpkg")) GTEST_SKIP() << "needs dpkg";
  for (size_t i = 1; i + 1 < std::size(kRising); ++i) {
    os::CommandOptions options;
    options.argv = {"dpkg", "--compare-versions", std::string(kRising[i]), "lt",
                    std::string(kRising[i + 1])};
    const auto result = os::RunCommand(options, Deadline::After(std::chrono::seconds(20)));
    ASSERT_TRUE(result) << result.error().ToString();
    EXPECT_TRUE(result->exit.Success()) << kRising[i] << " and " << kRising[i + 1];
  }
}

}  // namespace
}  // namespace wrenn::template_
