#include "vmm/block_device.h"

#include <sys/stat.h>

namespace wrenn::vmm {

Result<std::optional<dev_t>> BlockDeviceNumber(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) < 0) {
    return Fail(ErrnoError(fmt::format("cannot open the disk '{}'", path)));
  }
  return S_ISBLK(info.st_mode) ? std::optional(info.st_rdev) : std::nullopt;
}

}  // namespace wrenn::vmm
