#include "guest/boot/grow_root.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>

#include "base/unique_fd.h"

#ifndef EXT4_IOC_RESIZE_FS  // <linux/ext4.h> is newer than Debian 12's headers
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, __u64)
#endif

namespace wrenn::guest {
namespace {

// The file system's own overhead is missing from statvfs, so that a full-sized one looks this much
// smaller than its disk; growing by less is not worth the write.
constexpr uint64_t kWorthwhile = 32 << 20;

}  // namespace

Status GrowRoot(const std::string& disk, const std::string& mount_point) {
  UniqueFd device(::open(disk.c_str(), O_RDONLY | O_CLOEXEC));
  UniqueFd root(::open(mount_point.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!device || !root) return Fail(ErrnoError("cannot open the root's disk"));
  uint64_t bytes = 0;
  struct statvfs info;
  if (::ioctl(device.get(), BLKGETSIZE64, &bytes) < 0 || ::fstatvfs(root.get(), &info) < 0) {
    return Fail(ErrnoError("cannot measure the root's disk"));
  }
  if (bytes < info.f_blocks * info.f_frsize + kWorthwhile) return {};
  __u64 blocks = bytes / info.f_bsize;
  if (::ioctl(root.get(), EXT4_IOC_RESIZE_FS, &blocks) < 0) {
    return Fail(ErrnoError("cannot grow the root file system to its disk"));
  }
  // A layer of the disk that is frozen from here on holds a file system that can be mounted: a
  // superblock that is ahead of its group descriptors cannot, and images have no journal to tell.
  if (::syncfs(root.get()) < 0) return Fail(ErrnoError("cannot write the grown root file system"));
  return {};
}

}  // namespace wrenn::guest
