// For tests: a file system whose files can share blocks.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "base/deadline.h"
#include "base/unique_fd.h"
#include "os/command.h"
#include "os/files.h"

namespace wrenn::disk {

// A file system that can share blocks, mounted over a loop device for the life of the object.
class ReflinkMount {
 public:
  // Why it cannot be had, or empty.
  std::string Set(const std::string& directory) {
    if (::geteuid() != 0) return "needs root to mount";
    const std::string image = directory + "/fs.img";
    UniqueFd fd(::open(image.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!fd || ::ftruncate(fd.get(), uint64_t{400} << 20) < 0) return "cannot make an image";
    os::CommandOptions make;
    if (os::FindProgram("mkfs.xfs")) {
      make.argv = {"mkfs.xfs", "-q", "-m", "reflink=1", image};
    } else if (os::FindProgram("mkfs.btrfs")) {
      make.argv = {"mkfs.btrfs", "-q", image};
    } else {
      return "needs mkfs.xfs (package xfsprogs) or mkfs.btrfs (package btrfs-progs)";
    }
    const Deadline soon = Deadline::After(std::chrono::seconds(60));
    if (auto made = os::RunCommandOrFail(make, soon); !made) return made.error().ToString();
    path_ = directory + "/mnt";
    if (!os::MakeDirectory(path_)) return "cannot make a mount point";
    os::CommandOptions mount;
    mount.argv = {"mount", "-o", "loop", image, path_};
    if (auto mounted = os::RunCommandOrFail(mount, soon); !mounted) {
      path_.clear();
      return mounted.error().ToString();
    }
    return "";
  }
  ~ReflinkMount() {
    if (path_.empty()) return;
    os::CommandOptions unmount;
    unmount.argv = {"umount", path_};  // which also frees the loop device
    (void)os::RunCommand(unmount, Deadline::After(std::chrono::seconds(60)));
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace wrenn::disk
