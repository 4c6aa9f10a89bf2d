// Disks that are block devices of the host.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace wrenn::vmm {

// Whether a disk's path is a device's: those of files never lie there.
inline bool IsBlockDevice(std::string_view path) { return path.starts_with("/dev/"); }

// The number of a disk that is a block device, for a node of it in a jail; nothing for a file.
Result<std::optional<dev_t>> BlockDeviceNumber(const std::string& path);

}  // namespace wrenn::vmm
