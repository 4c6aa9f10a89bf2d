// Putting many small files of an image into one.
#pragma once

#include <string>

#include "memory/image.h"

namespace wrenn::memory {

// Makes an image of the same content in `directory` with fewer files: the small ones and those that
// are hardly used any more become one packed file, the others, and the base, are hard-linked.
// `from_directory` has the image's files. Neither memory.map is written nor anything synced; on
// failure no new file is left. kDataLoss when a file is missing; kInvalidArgument for an image
// without a base.
Result<Image> Repack(const Image& image, const std::string& from_directory,
                     const std::string& directory);

// Whether that would be worth it: there are many such files, or they hold much that is not used;
// with `patience`, so many times as many and as much.
bool WantsRepack(const Image& image, unsigned patience = 1);

}  // namespace wrenn::memory
