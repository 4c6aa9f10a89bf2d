#include "guest/boot/virtio.h"

#include <dirent.h>

#include "base/io.h"

namespace wrenn::guest {

bool HasVirtioDevice(uint16_t type, const std::string& sysfs) {
  const std::string wanted = fmt::format("0x{:04x}\n", type);
  DIR* folder = ::opendir(sysfs.c_str());
  if (!folder) return false;
  bool found = false;
  while (const dirent* entry = ::readdir(folder)) {
    const auto device = ReadFile(fmt::format("{}/{}/device", sysfs, entry->d_name), 64);
    found = found || (device && *device == wanted);
  }
  ::closedir(folder);
  return found;
}

}  // namespace wrenn::guest
