// The files of an image on the disk.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/unique_fd.h"
#include "memory/chunks.h"
#include "memory/image.h"

namespace wrenn::memory {

// Opens a file of an image for reading. kDataLoss when it is missing, no plain file or of another
// size.
Result<UniqueFd> OpenImageFile(const ImageFile& file, const std::string& directory);

// Reads exactly so much; kDataLoss when the file ends before. Writes all.
Status ReadAt(int fd, uint64_t offset, std::span<char> out);
Status WriteAt(int fd, uint64_t offset, std::span<const char> data);

// The parts of a file inside `window` that are no holes, to whole pages.
Result<Ranges> DataIn(int fd, Range window);

// A new file of an image in the making: mode 0600, removed again unless Keep() is called.
class NewImageFile {
 public:
  static Result<NewImageFile> Make(const std::string& directory);
  NewImageFile(NewImageFile&&) noexcept = default;
  NewImageFile& operator=(NewImageFile&&) = delete;
  ~NewImageFile();

  int fd() const { return fd_.get(); }
  const std::string& name() const { return name_; }

  // Writes bytes that are not all zeros, and takes them into the digests. Offsets only grow; what
  // is left out stays a hole. Buffered.
  Status Write(uint64_t offset, std::span<const char> data);
  // Ends the file at `size`.
  Result<ImageFile> Finish(uint64_t size);
  // The same for one who has written to fd() and knows the digests.
  Status Seal(uint64_t size);
  void Keep() { path_.clear(); }

 private:
  NewImageFile(UniqueFd fd, std::string name, std::string path);
  Status Flush();

  UniqueFd fd_;
  std::string name_;
  std::string path_;
  std::unique_ptr<char[]> buffer_;
  uint64_t buffer_offset_ = 0;  // in the file
  size_t buffered_ = 0;
  ChunkDigester digester_;
};

}  // namespace wrenn::memory
