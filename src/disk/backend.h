// Overlays: a sandbox's own writes on top of an immutable base image.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"

namespace wrenn::disk {

enum class Format { kRaw, kQcow2 };

struct Overlay {
  std::string path;
  Format format = Format::kRaw;
};

// One way to make overlays. Base images are only read. Thread-safe.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual const char* name() const = 0;  // "qcow2", "reflink", "copy"

  // Makes the overlay `directory`/disk.<ext> over `base`, `size_bytes` large to the guest (at least the
  // base's own size; 0: the same). On failure nothing is left.
  virtual Result<Overlay> Create(const std::string& base, const std::string& directory,
                                 uint64_t size_bytes) = 0;
  // Where Create() put it.
  virtual Overlay Locate(const std::string& directory) const = 0;
  virtual Status Remove(const std::string& directory) = 0;
};

// By name; kInvalidArgument for an unknown one. "auto" is qcow2, which QEMU always has.
Result<std::unique_ptr<Backend>> MakeBackend(const std::string& name);

// The disk space that a file or folder really takes: allocated blocks times 512; 0 when absent.
uint64_t AllocatedBytes(const std::string& path);

// Copies a file with its holes (reflink where the file system can, else SEEK_DATA).
Status CopySparse(const std::string& from, const std::string& to);

}  // namespace wrenn::disk
