#include "sandbox/disk_use.h"

#include <sys/stat.h>

#include "os/files.h"

namespace wrenn::sandbox {
namespace {

using store::SandboxState;

constexpr uint64_t kBlock = 512;  // what st_blocks counts, whatever the file system's blocks are

}  // namespace

std::optional<uint64_t> DiskUsedBytes(const os::Paths& paths, const store::SandboxRecord& record) {
  if (store::IsEnded(record.state)) return std::nullopt;
  const bool frozen =
      record.state == SandboxState::kPaused || record.state == SandboxState::kResuming;
  const std::string folder = frozen ? paths.Snapshot(record.snapshot) : paths.Sandbox(record.id);
  const auto names = os::ListDirectory(folder);
  if (!names) return std::nullopt;
  std::optional<uint64_t> bytes;
  for (const std::string& name : *names) {
    struct stat info;
    if (!name.starts_with("disk-") || ::lstat((folder + "/" + name).c_str(), &info) < 0) continue;
    bytes = bytes.value_or(0);
    // One that stands by has its own links to what its snapshot has.
    const bool twice = frozen && os::Exists(paths.Sandbox(record.id) + "/" + name);
    if (info.st_nlink == (twice ? 2 : 1)) *bytes += static_cast<uint64_t>(info.st_blocks) * kBlock;
  }
  return bytes;
}

}  // namespace wrenn::sandbox
