// The template `minimal`: busybox and what a C library and a shell expect around it.
#pragma once

#include <string>

#include "base/result.h"
#include "template/ext4.h"
#include "template/workspace.h"

namespace wrenn::template_ {

// A statically linked busybox: the installed one, or Debian's busybox-static, downloaded.
Result<std::string> FindBusybox(const Workspace& workspace);

// Makes the tree. Owners are the caller's: MinimalOwner() tells what they are to be.
Status MakeMinimalTree(const Workspace& workspace, const std::string& busybox,
                       const std::string& tree);

// The user `user` owns its home, root the rest.
Owner MinimalOwner(const std::string& guest_path);

}  // namespace wrenn::template_
