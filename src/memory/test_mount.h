// For tests: a file system of one's own, mounted for the life of the object. Needs root.
#pragma once

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <string>

#include "base/unique_fd.h"
#include "os/command.h"
#include "os/files.h"

namespace wrenn::memory {

class TestMount {
 public:
  // Below an existing folder, which is not covered itself. Answer why it cannot be had, or nothing.
  std::string MountTmpfs(const std::string& directory, const std::string& options) {
    if (std::string reason = MakePoint(directory); !reason.empty()) return reason;
    if (::mount("none", path_.c_str(), "tmpfs", 0, options.c_str()) == 0) return "";
    path_.clear();
    return "cannot mount tmpfs";
  }
  // One that can share blocks between files.
  std::string MountXfs(const std::string& directory) {
    if (std::string reason = MakePoint(directory); !reason.empty()) return reason;
    const std::string point = std::exchange(path_, "");
    const std::string image = directory + "/fs.img";
    const UniqueFd fd(::open(image.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!fd || ::ftruncate(fd.get(), 400 << 20) < 0) return "cannot make an image";
    if (!os::FindProgram("mkfs.xfs")) return "needs mkfs.xfs (package xfsprogs)";
    const Deadline soon = Deadline::After(std::chrono::seconds(60));
    os::CommandOptions command;
    command.argv = {"mkfs.xfs", "-q", "-m", "reflink=1", image};
    if (auto made = os::RunCommandOrFail(command, soon); !made) return made.error().ToString();
    command.argv = {"mount", "-o", "loop", image, point};
    if (auto done = os::RunCommandOrFail(command, soon); !done) return done.error().ToString();
    path_ = point;
    return "";
  }
  ~TestMount() {
    if (!path_.empty()) ::umount2(path_.c_str(), MNT_DETACH);
  }

  const std::string& path() const { return path_; }

 private:
  std::string MakePoint(const std::string& directory) {
    if (::geteuid() != 0) return "needs root to mount";
    path_ = directory + "/mnt";
    return os::MakeDirectory(path_) ? "" : "cannot make a mount point";
  }

  std::string path_;
};

}  // namespace wrenn::memory
