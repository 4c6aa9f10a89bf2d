#include "snapshot/inspect.h"

#include <sys/stat.h>

#include <algorithm>

#include "os/files.h"
#include "snapshot/folder.h"

namespace wrenn::snapshot {
namespace {

constexpr uint64_t kBlock = 512;  // what st_blocks counts, whatever the file system's blocks are

}  // namespace

Result<Contents> Inspect(const std::string& place) {
  Contents contents;
  ASSIGN_OR_RETURN(contents.manifest, Open(place));
  ASSIGN_OR_RETURN(const auto names, os::ListDirectory(place));
  for (const std::string& name : names) {
    struct stat info;
    if (::lstat((place + "/" + name).c_str(), &info) < 0) continue;  // it is being removed
    const uint64_t bytes = static_cast<uint64_t>(info.st_blocks) * kBlock;
    if (info.st_nlink == 1) contents.own_bytes += bytes;
    if ("/" + name == kStateFile) {
      contents.state_bytes += bytes;
    } else if (name.starts_with("memory-")) {
      ++contents.memory_files;
      contents.memory_bytes += bytes;
    } else if (std::ranges::count(contents.manifest.layers, name) > 0) {
      contents.disk_bytes += bytes;
    }
  }
  return contents;
}

}  // namespace wrenn::snapshot
