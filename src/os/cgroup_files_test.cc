#include "os/cgroup_files.h"

#include <gtest/gtest.h>

namespace wrenn::os {
namespace {

TEST(CgroupFilesTest, ReadsNumbersByKey) {
  const std::string events = "low 0\nmax 12\noom 3\noom_kill 4\n";
  EXPECT_EQ(FlatValue(events, "max"), 12u);
  EXPECT_EQ(FlatValue(events, "oom"), 3u);
  EXPECT_EQ(FlatValue(events, "none"), 0u);
  EXPECT_EQ(FlatValue("", "max"), 0u);
  EXPECT_EQ(FlatValue("max", "max"), 0u);
  EXPECT_EQ(FlatValue("max many", "max"), 0u);
  const std::string io =
      "8:0 rbytes=10 wbytes=1 rios=1 wios=1\n254:16 rbytes=5 wbytes=2\n7:0 \n7:1\n";
  EXPECT_EQ(NestedSum(io, "rbytes"), 15u);
  EXPECT_EQ(NestedSum(io, "wbytes"), 3u);
  EXPECT_EQ(NestedSum(io, "dbytes"), 0u);
}

TEST(CgroupFilesTest, FindsTheTopAndThisProcess) {
  CgroupPlace place = FindCgroups(
      "25 1 0:22 / /sys rw - sysfs sysfs rw\n"
      "31 25 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
      "0::/system.slice/wrenn.service\n");
  EXPECT_EQ(place.top, "/sys/fs/cgroup");
  EXPECT_EQ(place.own, "/system.slice/wrenn.service");
  EXPECT_FALSE(place.version_1);

  // A container that sees its own part only, but whole paths; and one with a namespace.
  const std::string part = "31 25 0:26 /docker/12ab /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
  EXPECT_EQ(FindCgroups(part, "0::/docker/12ab\n").own, "");
  EXPECT_EQ(FindCgroups(part, "0::/docker/12ab/x\n").own, "/x");
  EXPECT_EQ(FindCgroups("31 25 0:26 / /sys/fs/cgroup ro - cgroup2 c rw\n", "0::/\n").own, "");

  // Both versions: the usual place is better than another.
  place = FindCgroups(
      "35 34 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
      "36 34 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
      "4:memory:/x\n0::/y\n");
  EXPECT_EQ(place.top, "/sys/fs/cgroup/unified");
  EXPECT_EQ(place.own, "/y");
  EXPECT_TRUE(place.version_1);
  place = FindCgroups(
      "35 34 0:30 / /mnt rw - cgroup2 cgroup2 rw\n31 25 0:26 / /sys/fs/cgroup rw - cgroup2 c rw\n",
      "0::/\n");
  EXPECT_EQ(place.top, "/sys/fs/cgroup");

  place = FindCgroups("22 1 0:20 / / rw - ext4 /dev/sda rw\n", "");
  EXPECT_EQ(place.top, "");
  EXPECT_EQ(FindCgroups("", "garbage\n0:\n0::\n").own, "");
}

}  // namespace
}  // namespace wrenn::os
