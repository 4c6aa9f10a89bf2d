#include "guest/users.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace wrenn::guest {
namespace {

TEST(Users, PasswdLinesAreRead) {
  const auto users = ParsePasswd(
      "root:x:0:0:root:/root:/bin/bash\n# a comment\nbad:x:a:0::/:/bin/sh\n"
      "user:x:1000:1001:,,,:/home/user:\nshort:x:1\n");
  ASSERT_EQ(users.size(), 2u);
  EXPECT_EQ(users[1].name, "user");
  EXPECT_EQ(users[1].uid, 1000u);
  EXPECT_EQ(users[1].gid, 1001u);
  EXPECT_EQ(users[1].home, "/home/user");
  EXPECT_EQ(users[1].shell, "/bin/sh");
}

TEST(Users, GroupLinesAreRead) {
  const auto groups = ParseGroups("sudo:x:27:user,other\nempty:x:5:\nbad:x::\n");
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_THAT(groups[0].members, testing::ElementsAre("user", "other"));
  EXPECT_THAT(groups[1].members, testing::IsEmpty());
}

TEST(Users, RootIsAlwaysThereAndAStrangerNever) {
  auto root = FindUser("root");
  ASSERT_TRUE(root);
  EXPECT_EQ(root->uid, 0u);
  auto stranger = FindUser("no such user");
  ASSERT_FALSE(stranger);
  EXPECT_EQ(stranger.error().code, Code::kUnauthenticated);
  EXPECT_EQ(stranger.error().message, "invalid username: 'no such user'");
}

TEST(Users, AnIdWithoutEntryIsNamedByItsNumber) {
  EXPECT_EQ(UserOf(987654).name, "987654");
  EXPECT_EQ(OwnerNames().User(987654), "987654");
  EXPECT_EQ(OwnerNames().User(0), "root");
}

}  // namespace
}  // namespace wrenn::guest
