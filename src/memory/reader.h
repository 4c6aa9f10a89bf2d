// Reads guest RAM out of an image's files.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "memory/image.h"

namespace wrenn::memory {

class ImageReader {
 public:
  // Opens all files of the image. kDataLoss when one is missing or of another size. Digests are not
  // checked (Verify).
  static Result<ImageReader> Open(const Image& image, const std::string& directory);

  // kOutOfRange beyond the end of RAM.
  Status Read(uint64_t offset, std::span<char> out) const;
  // Many ranges at once, one behind the other in `out`, which is TotalLength(ranges) long.
  Status ReadRanges(const Ranges& ranges, std::span<char> out) const;

  const Image& image() const { return image_; }
  // The descriptor of image().files[file].
  int fd(uint32_t file) const { return fds_[file].get(); }

 private:
  ImageReader(Image image, std::vector<UniqueFd> fds)
      : image_(std::move(image)), fds_(std::move(fds)) {}

  Image image_;
  std::vector<UniqueFd> fds_;
};

}  // namespace wrenn::memory
