// Loop devices: files as block devices (loop(4)).
//
// All are attached with LO_FLAGS_AUTOCLEAR: the kernel detaches one when its last user closes it,
// be that this process, however it ends, or a device-mapper target. So a process that is killed
// leaves none behind, and none is ever detached below a target that uses it. LOOP_CLR_FD has no
// place here: on a device in use it succeeds too, and the device stays until its user goes.
#pragma once

#include <sys/types.h>

#include <compare>
#include <optional>
#include <string>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace wrenn::os {

// Which file it is, under whatever name.
struct FileIdentity {
  dev_t device = 0;  // of its file system
  ino_t inode = 0;
  friend auto operator<=>(const FileIdentity&, const FileIdentity&) = default;
};
Result<FileIdentity> IdentityOf(int fd);

struct LoopOptions {
  bool read_only = false;
  // Reads and writes past the page cache of the file's file system. Where that cannot do it, or not
  // in blocks of 512 bytes, the kernel goes through the cache without a word.
  bool direct_io = false;
};

// One attached device, held open. It is detached when the object ends and nobody else has it open.
class LoopDevice {
 public:
  // Makes a block device of a file, in blocks of 512 bytes; what is behind its last whole block is
  // not seen. The kernel keeps the open file itself, with its locks (flock(2)), for as long as the
  // device is attached. `file` must be open for writing unless options.read_only. Free numbers are
  // shared with everybody, and one that somebody else has taken first is tried again.
  // kUnimplemented: this machine has no loop devices; kPermissionDenied: needs root.
  static Result<LoopDevice> Attach(int file, const LoopOptions& options);

  // Another hold of one that is attached. kNotFound when `number` is not attached to this file.
  static Result<LoopDevice> Open(unsigned number, const FileIdentity& file);

  LoopDevice(LoopDevice&&) noexcept = default;
  LoopDevice& operator=(LoopDevice&&) noexcept = default;

  unsigned number() const { return number_; }
  dev_t device() const;      // 7:<number>
  std::string path() const;  // "/dev/loop<number>"
  const FileIdentity& file() const { return file_; }

  // Lets go of it and waits until it is detached from the file. kDeadlineExceeded when somebody
  // else has it open until then; it is detached when they close it. Once.
  Status Detach(Deadline deadline);

 private:
  LoopDevice(UniqueFd fd, unsigned number, const FileIdentity& file)
      : fd_(std::move(fd)), number_(number), file_(file) {}

  UniqueFd fd_;
  unsigned number_ = 0;
  FileIdentity file_;
};

// The file that a loop device is attached to; nothing when it is free or does not exist.
Result<std::optional<FileIdentity>> FileOfLoop(unsigned number);

// Waits until a loop device that nobody holds any more is detached from `file`; see Detach().
Status WaitDetached(unsigned number, const FileIdentity& file, Deadline deadline);

}  // namespace wrenn::os
