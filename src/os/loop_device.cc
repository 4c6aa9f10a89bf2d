#include "os/loop_device.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <linux/major.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>

#include "os/uevents.h"

namespace wrenn::os {
namespace {

constexpr uint32_t kBlockSize = 512;
// How often a free number may be snatched away before something else must be wrong.
constexpr int kAttempts = 100;

std::string PathOf(unsigned number) { return "/dev/loop" + std::to_string(number); }

// Opens a device's node, and makes it first where no devtmpfs does.
UniqueFd OpenNode(unsigned number, int flags) {
  const std::string path = PathOf(number);
  UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC));
  if (!fd && errno == ENOENT &&
      ::mknod(path.c_str(), S_IFBLK | 0600, ::makedev(LOOP_MAJOR, number)) == 0) {
    fd.Reset(::open(path.c_str(), flags | O_CLOEXEC));
  }
  return fd;
}

// The file that an open device is attached to; nothing when it is free.
Result<std::optional<FileIdentity>> FileOf(int fd) {
  loop_info64 info{};
  if (::ioctl(fd, LOOP_GET_STATUS64, &info) == 0) {
    return FileIdentity{static_cast<dev_t>(info.lo_device), static_cast<ino_t>(info.lo_inode)};
  }
  if (errno == ENXIO) return std::optional<FileIdentity>();
  return Fail(ErrnoError("cannot read a loop device"));
}

Result<UniqueFd> OpenControl() {
  UniqueFd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  if (control) return control;
  Error error = ErrnoError("cannot open /dev/loop-control");
  if (error.code == Code::kNotFound) {
    return Fail(Error{Code::kUnimplemented,
                      "this machine has no loop devices: load the kernel module 'loop'",
                      error.message});
  }
  return Fail(std::move(error));
}

}  // namespace

Result<FileIdentity> IdentityOf(int fd) {
  struct stat info;
  if (::fstat(fd, &info) < 0) return Fail(ErrnoError("cannot look at a file"));
  return FileIdentity{info.st_dev, info.st_ino};
}

Result<LoopDevice> LoopDevice::Attach(int file, const LoopOptions& options) {
  ASSIGN_OR_RETURN(const FileIdentity identity, IdentityOf(file));
  ASSIGN_OR_RETURN(const UniqueFd control, OpenControl());
  loop_config config{};
  config.fd = static_cast<uint32_t>(file);
  config.block_size = kBlockSize;
  config.info.lo_flags = LO_FLAGS_AUTOCLEAR | (options.read_only ? LO_FLAGS_READ_ONLY : 0) |
                         (options.direct_io ? LO_FLAGS_DIRECT_IO : 0);
  for (int i = 0; i < kAttempts; ++i) {
    const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return Fail(ErrnoError("cannot find a free loop device"));
    const auto found = static_cast<unsigned>(number);
    UniqueFd fd = OpenNode(found, options.read_only ? O_RDONLY : O_RDWR);
    if (!fd && errno == ENXIO) continue;  // removed meanwhile
    if (!fd) return Fail(ErrnoError("cannot open '" + PathOf(found) + "'"));
    if (::ioctl(fd.get(), LOOP_CONFIGURE, &config) == 0) {
      return LoopDevice(std::move(fd), found, identity);
    }
    if (errno == EBUSY) continue;  // taken meanwhile
    if (errno == ENOTTY || errno == EINVAL) {
      return Fail(Error{Code::kUnimplemented,
                        "the kernel cannot attach this file to a loop device: it takes Linux 5.8",
                        ErrnoError("LOOP_CONFIGURE").message});
    }
    return Fail(ErrnoError("cannot attach a loop device"));
  }
  return Fail(Code::kUnavailable, "others take all free loop devices: try again");
}

Result<LoopDevice> LoopDevice::Open(unsigned number, const FileIdentity& file) {
  UniqueFd fd(::open(PathOf(number).c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return Fail(ErrnoError("cannot open '" + PathOf(number) + "'"));
  ASSIGN_OR_RETURN(const std::optional<FileIdentity> found, FileOf(fd.get()));
  if (found != file) {
    return Fail(Code::kNotFound, "loop device {} is not attached to this file", number);
  }
  return LoopDevice(std::move(fd), number, file);
}

dev_t LoopDevice::device() const { return ::makedev(LOOP_MAJOR, number_); }

std::string LoopDevice::path() const { return PathOf(number_); }

Status LoopDevice::Detach(Deadline deadline) {
  fd_.Reset();
  return WaitDetached(number_, file_, deadline);
}

Result<std::optional<FileIdentity>> FileOfLoop(unsigned number) {
  UniqueFd fd(::open(PathOf(number).c_str(), O_RDONLY | O_CLOEXEC));
  if (fd) return FileOf(fd.get());
  if (errno == ENOENT || errno == ENXIO) return std::optional<FileIdentity>();
  return Fail(ErrnoError("cannot open '" + PathOf(number) + "'"));
}

Status WaitDetached(unsigned number, const FileIdentity& file, Deadline deadline) {
  // Looking is a use for a moment too, but the last one to close detaches, whoever it is.
  const auto attached = [&]() -> Result<bool> {
    ASSIGN_OR_RETURN(const auto found, FileOfLoop(number));
    return found == file;
  };
  ASSIGN_OR_RETURN(bool busy, attached());
  if (!busy) return {};
  ASSIGN_OR_RETURN(Uevents events, Uevents::Subscribe());
  for (;;) {
    ASSIGN_OR_RETURN(busy, attached());
    if (!busy) return {};
    if (deadline.HasPassed()) {
      return Fail(Code::kDeadlineExceeded, "loop device {} is still in use", number);
    }
    // A container's user namespace gets no events, so it is looked at now and then.
    constexpr Deadline::Duration kPause(100);
    Status event = events.Wait(Deadline::Earlier(deadline, Deadline::After(kPause)));
    if (!event && event.error().code != Code::kDeadlineExceeded) return event;
  }
}

}  // namespace wrenn::os
