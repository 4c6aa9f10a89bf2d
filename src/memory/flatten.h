// Merging the files of an image.
#pragma once

#include <string>

#include "memory/image.h"

namespace wrenn::memory {

// Makes a flat file in `directory` out of an image in `from_directory`: it becomes the base of the
// answered image, and its only file. Reflinks the old base where the file system can, else copies
// around holes; pages of zeros are holes. Nothing is synced; on failure nothing is left.
//
// What goes into new chunks is checked first: kDataLoss when a file is missing or damaged. Chunks
// taken over as they are keep their digest, so damage in them is still found by Verify().
Result<Image> Flatten(const Image& image, const std::string& from_directory,
                      const std::string& directory);

// Whether that would be worth it for an image that many machines are made of: each has to write
// what the base does not have into memory of its own, and a flat file is shared by all of them. It
// takes as much of the disk as all that is not zero.
bool WantsFlatten(const Image& image);

}  // namespace wrenn::memory
