// Copies of large files that keep holes and share blocks where the file system can.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace wrenn::disk {

// A new file of mode 0600, removed again unless Keep() is called.
class NewFile {
 public:
  // kAlreadyExists when there is one.
  static Result<NewFile> Make(const std::string& path);
  NewFile(NewFile&&) noexcept = default;
  NewFile& operator=(NewFile&&) = delete;
  ~NewFile();

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  Status SetSize(uint64_t bytes);
  void Keep() { fd_.Reset(); }

 private:
  NewFile(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  UniqueFd fd_;
  std::string path_;
};

// Opens a regular file for reading; symbolic links are not followed. kNotFound when there is none,
// kFailedPrecondition for anything but a file.
Result<UniqueFd> OpenImage(const std::string& path);

// Reads at an offset; less than asked for only at the end of the file.
Result<size_t> ReadAt(int fd, std::span<char> out, uint64_t offset);

// Makes `to` share all blocks of `from` (FICLONE). kUnimplemented where the file system cannot.
Status ShareBlocks(int from, int to);

// Copies the data of `from`, leaving holes where it has holes; `to` is empty and gets the same
// length.
Status CopyData(int from, int to);

}  // namespace wrenn::disk
