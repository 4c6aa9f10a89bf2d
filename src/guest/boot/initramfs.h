// From the kernel's first program to the real root.
#pragma once

#include "base/result.h"

namespace wrenn::guest {

// Whether the root is still the initramfs.
bool InInitramfs();

// Loads the modules that /modules/order names, one file name of /modules a line, waits for the disk
// of root= (default /dev/vda), mounts it (rootfstype=, default ext4) and makes it the root. The
// caller goes on from there: it is in memory already and needs nothing of the image.
Status SwitchToRoot();

}  // namespace wrenn::guest
