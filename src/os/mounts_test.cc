#include "os/mounts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace wrenn::os {
namespace {

TEST(MountsTest, AreThoseBelowAFolder) {
  constexpr std::string_view kText =
      "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
      "30 22 0:5 / /a/b\\040c rw - tmpfs tmpfs rw\n"
      "31 30 0:6 / /a/b\\040c/proc rw - proc proc rw\n"
      "32 22 0:7 / /a/b\\040cd rw - tmpfs tmpfs rw\n"
      "broken\n";
  EXPECT_THAT(MountsBelow(kText, "/a/b c"), testing::ElementsAre("/a/b c", "/a/b c/proc"));
  EXPECT_THAT(MountsBelow(kText, "/a"), testing::SizeIs(3));
  EXPECT_THAT(MountsBelow("", "/a"), testing::IsEmpty());
}

TEST(MountsTest, NothingMountedIsNothingToDo) {
  EXPECT_TRUE(UnmountBelow("/nowhere/at/all"));
  EXPECT_TRUE(UnmountBelow("/etc"));
}

}  // namespace
}  // namespace wrenn::os
