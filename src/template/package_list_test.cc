#include "template/package_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "template/apt.h"

namespace wrenn::template_ {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(PackageListTest, TakesNamesAndComments) {
  const auto names =
      ParsePackageList("# tools\n\n  python3   # the language\r\ng++ libc6\npython3\n");
  ASSERT_TRUE(names) << names.error().message;
  EXPECT_THAT(*names, ElementsAre("g++", "libc6", "python3"));
}

TEST(PackageListTest, RefusesWhatIsNoNameAndSaysWhere) {
  for (const char* hostile : {"Python3", "a", "-oDebug", "--force", "curl;reboot", "$(id)",
                              "../etc", "foo=1.0", "foo/bookworm", "vim-", "?essential", "~n.",
                              "a,b", "x*", "/tmp/x.deb", "\xff\xfe", "naïve", "foo:amd64"}) {
    const auto names = ParsePackageList(std::string("curl\n") + hostile + "\n");
    ASSERT_FALSE(names) << hostile;
    EXPECT_EQ(names.error().code, Code::kInvalidArgument);
    EXPECT_THAT(names.error().message, HasSubstr("line 2"));
  }
  EXPECT_FALSE(IsPackageName(std::string(200, 'a')));
}

TEST(PackageListTest, RefusesAnEmptyList) {
  EXPECT_FALSE(ParsePackageList(""));
  EXPECT_FALSE(ParsePackageList("# nothing\n"));
}

TEST(PackageListTest, TheListOfBaseIsGood) {
  const auto names = ParsePackageList(kBasePackages);
  ASSERT_TRUE(names) << names.error().message;
  for (const char* name :
       {"python3", "bash", "coreutils", "curl", "ca-certificates", "git", "sudo"}) {
    EXPECT_THAT(*names, testing::Contains(name));
  }
}

}  // namespace
}  // namespace wrenn::template_
