// For tests: how much of an image a restore may write.
#pragma once

#include "memory/image.h"

namespace wrenn::memory {

// Bytes that are not in the base at their place: at most so much a restore has to write.
inline uint64_t DeltaBytes(const Image& image) {
  uint64_t bytes = 0;
  for (const Extent& extent : image.extents) {
    if (!image.IsInBase(extent)) bytes += extent.length;
  }
  return bytes;
}

}  // namespace wrenn::memory
