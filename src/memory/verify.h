// Checking the files of an image.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "memory/image.h"

namespace wrenn::memory {

// Compares all files with their digests. kDataLoss naming the file and the chunk. `progress` is
// told the bytes done and to do, and may be empty.
Status Verify(const Image& image, const std::string& directory,
              const std::function<void(uint64_t, uint64_t)>& progress = {});

// Reads chunk number `chunk` of an image's file, open as `fd`, into `buffer` (of kChunkSize) and
// compares it with its digest. Answers its bytes; kDataLoss when they are others.
Result<std::span<char>> ReadChunk(const ImageFile& file, int fd, uint64_t chunk,
                                  std::span<char> buffer);

}  // namespace wrenn::memory
