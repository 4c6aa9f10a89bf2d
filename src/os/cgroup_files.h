// The files of a cgroup, and which folder is which: what cgroup.cc and cgroup_tree.cc share.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace wrenn::os {

// A file in the open folder of a cgroup. kNotFound: its controller is missing, or the cgroup is
// gone.
Result<std::string> ReadCgroupFile(int folder, const char* name);
// One write(2). Answers 0 or its errno.
int TryWriteCgroupFile(int folder, const char* name, std::string_view text);
Status WriteCgroupFile(int folder, const char* name, std::string_view text);

std::vector<std::string_view> SplitLines(std::string_view text);

// The number behind a key: of lines "key number", or of words "key=number" all over the text,
// summed.
uint64_t FlatValue(std::string_view text, std::string_view key);
uint64_t NestedSum(std::string_view text, std::string_view key);

// Where cgroups are, from the texts of /proc/self/mountinfo and /proc/self/cgroup (proc(5),
// cgroups(7)).
struct CgroupPlace {
  std::string top;         // where the cgroup2 file system is mounted; empty: nowhere
  std::string own;         // this process's cgroup below it: "" or "/a/b"
  bool version_1 = false;  // controllers are mounted as cgroup v1
};
CgroupPlace FindCgroups(std::string_view mountinfo, std::string_view own_cgroups);

}  // namespace wrenn::os
