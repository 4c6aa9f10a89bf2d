// Copies of large files that keep holes and share blocks where the file system can.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

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

// Writes all of `data` at an offset.
Status WriteAt(int fd, std::string_view data, uint64_t offset);

// Makes `to` share all blocks of `from` (FICLONE). kUnimplemented where the file system cannot.
Status ShareBlocks(int from, int to);

// What becomes of the places in a copy that are holes in its source.
enum class Holes { kLeave, kPunch };

// Copies `length` bytes (copy_file_range(2), which shares blocks where the file system can). What
// is behind the end of `from` counts as a hole. The two must not be one file.
Status CopyRange(int from, uint64_t from_offset, int to, uint64_t to_offset, uint64_t length,
                 Holes holes);

// Makes a range of a file read as zeros, without its length being changed.
Status PunchHole(int fd, uint64_t offset, uint64_t length);

// Copies the data of `from`, leaving holes where it has holes; `to` is empty and gets the same
// length.
Status CopyData(int from, int to);

}  // namespace wrenn::disk
