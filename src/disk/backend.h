// Backends: how a sandbox's disk begins, on top of an immutable base image.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "disk/layers.h"

namespace wrenn::disk {

// One way to do that. Base images are only read. Thread-safe.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual const char* name() const = 0;  // "qcow2", "dm-snapshot", ...

  // Makes the lowest layer of a disk in `directory`, over `base`; its size to the guest is
  // `size_bytes` (at least the base's own size; 0: the same; rounded up to whole sectors of 512
  // bytes). What is beyond the base's end reads as zeros: the block device is larger then, the file
  // system in it is not until something in the guest grows it. Not synced. On failure nothing is
  // left.
  virtual Result<Layer> Create(const std::string& base, const std::string& directory,
                               uint64_t size_bytes) = 0;
};

// By name; kInvalidArgument for an unknown one. "auto" is qcow2, which QEMU always has.
//   qcow2    a file of the sandbox's own clusters that names its base by a path relative to itself,
//   so a
//            whole tree can be moved (https://www.qemu.org/docs/master/interop/qcow2.html)
//   reflink  a whole raw file that shares its blocks with the base; kUnimplemented with the remedy
//   where
//            the file system cannot (xfs and btrfs can)
//   copy     a whole raw file, with the base's holes kept
//   dm-snapshot  a file of the sandbox's own chunks, which the kernel makes a block device of
//            (DmSnapshots, which needs root): for VMMs that read nothing but raw disks. Making the
//            file needs nothing; the base must have whole sectors (kFailedPrecondition)
Result<std::unique_ptr<Backend>> MakeBackend(const std::string& name);

// The disk space that a file or folder really takes: allocated blocks times 512; 0 when absent.
uint64_t AllocatedBytes(const std::string& path);

// Copies a file with its holes (reflink where the file system can, else SEEK_DATA). `to` must not
// exist; it gets mode 0600. On failure it is not left.
Status CopySparse(const std::string& from, const std::string& to);

}  // namespace wrenn::disk
