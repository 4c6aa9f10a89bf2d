// Mounts: what is mounted below a folder.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace wrenn::os {

// The mount points at or below `folder` (an absolute path without symbolic links) in the order of
// mounting, from the text of /proc/self/mountinfo (proc(5)).
std::vector<std::string> MountsBelow(std::string_view mountinfo, const std::string& folder);

// Unmounts all that is mounted at or below a folder; what is in use goes away with its last user
// (MNT_DETACH). Harmless where nothing is, or no folder. Needs CAP_SYS_ADMIN for the rest.
Status UnmountBelow(const std::string& folder);

}  // namespace wrenn::os
