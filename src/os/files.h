// Folders: making, removing and measuring them.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace wrenn::os {

// Makes a folder; one that exists already is fine and keeps its mode.
Status MakeDirectory(const std::string& path, unsigned mode = 0700);
// Makes a folder and those above it that are missing, all with this mode.
Status MakeDirectories(const std::string& path, unsigned mode = 0700);

bool Exists(const std::string& path);

// The names in a folder, sorted, without "." and "..".
Result<std::vector<std::string>> ListDirectory(const std::string& path);

// Removes a file, or a folder with all below it. Symbolic links are removed, never followed; what
// is mounted below is not entered (kFailedPrecondition, and it stays). Harmless when absent.
Status RemoveTree(const std::string& path);

// Gives a file a second name on the same file system (a hard link).
Status LinkFile(const std::string& from, const std::string& to);

// Bytes that the caller may still write to the file system of `path`.
Result<uint64_t> FreeDiskBytes(const std::string& path);

// Bytes that are allocated to a file, or to a folder with all below it; 0 when absent. Blocks that
// files share (reflinks, hard links) count for each.
uint64_t AllocatedBytes(const std::string& path);

// A new folder of mode 0700 with a random name, removed with its content at the end of its life.
class TemporaryDirectory {
 public:
  // `<parent>/<prefix>.XXXXXX`. The parent must exist; empty: $TMPDIR or /tmp.
  static Result<TemporaryDirectory> Make(const std::string& parent = {},
                                         const std::string& prefix = "wrenn");

  TemporaryDirectory(TemporaryDirectory&& other) noexcept : path_(other.Release()) {}
  TemporaryDirectory& operator=(TemporaryDirectory&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }
  ~TemporaryDirectory();

  const std::string& path() const { return path_; }
  // Gives the folder up to the caller, who removes or renames it.
  std::string Release() { return std::exchange(path_, {}); }

 private:
  explicit TemporaryDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace wrenn::os
