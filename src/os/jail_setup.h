// A jail made ready by the process that starts a program in it, so that the child between clone and
// execve has system calls to make and nothing to think about.
#pragma once

#include <linux/filter.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "os/jail.h"

namespace wrenn::os {

// Its mounts exist, but nowhere: they go away with the descriptors. So does all that is made here.
struct JailSetup {
  struct Mount {
    UniqueFd tree;
    std::string target;  // in the jail
  };

  uid_t uid = 0;
  gid_t gid = 0;
  int net_namespace = -1;  // the caller's
  UniqueFd root;           // a tmpfs with the folders, nodes, links and mount points
  std::vector<Mount> mounts;
  std::vector<sock_filter> filter;
};

// kNotFound: what shall be bound is not there (its path is in the detail); kPermissionDenied,
// kUnimplemented: this process, or this kernel, cannot jail; kInvalidArgument: a path or id that
// cannot be.
Result<JailSetup> SetUpJail(const Jail& jail);

}  // namespace wrenn::os
