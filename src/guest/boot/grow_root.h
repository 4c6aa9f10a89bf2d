// The root file system takes the whole disk.
#pragma once

#include <string>

#include "base/result.h"

namespace wrenn::guest {

// Grows the mounted ext4 file system to the size of its disk, online (EXT4_IOC_RESIZE_FS, see
// ext4.h of the kernel's user interface). A sandbox may be given a larger disk than its image was
// made with; an image is never changed, so this happens in the guest. Nothing to do is no error.
Status GrowRoot(const std::string& disk, const std::string& mount_point);

}  // namespace wrenn::guest
