#include "sandbox/disk_use.h"

#include <sys/stat.h>

#include <map>

#include "os/files.h"

namespace wrenn::sandbox {
namespace {

using store::SandboxState;

constexpr uint64_t kBlock = 512;  // what st_blocks counts, whatever the file system's blocks are

// Files by their numbers: all folders of a root are on one file system.
struct File {
  uint64_t bytes = 0;
  nlink_t links = 0;  // of these in the folders
  nlink_t all_links = 0;
};
using Files = std::map<ino_t, File>;

// Answers whether there are layers of a disk among them.
bool Collect(const std::string& folder, Files& files) {
  bool has_disk = false;
  for (const std::string& name : os::ListDirectory(folder).value_or(std::vector<std::string>())) {
    struct stat info;
    if (::lstat((folder + "/" + name).c_str(), &info) < 0 || !S_ISREG(info.st_mode)) continue;
    has_disk = has_disk || name.starts_with("disk-");
    File& file = files[info.st_ino];
    file.bytes = static_cast<uint64_t>(info.st_blocks) * kBlock;
    file.all_links = info.st_nlink;
    ++file.links;
  }
  return has_disk;
}

}  // namespace

std::optional<uint64_t> DiskUsedBytes(const os::Paths& paths, const store::SandboxRecord& record) {
  if (store::IsEnded(record.state)) return std::nullopt;
  const bool frozen =
      record.state == SandboxState::kPaused || record.state == SandboxState::kResuming;
  Files files;
  bool has_disk = Collect(paths.Sandbox(record.id), files);
  // One that stands by has links to what its snapshot has.
  if (frozen) has_disk = Collect(paths.Snapshot(record.snapshot), files);
  if (!has_disk) return std::nullopt;
  uint64_t bytes = 0;
  for (const auto& [number, file] : files) {
    if (file.links == file.all_links) bytes += file.bytes;
  }
  return bytes;
}

}  // namespace wrenn::sandbox
