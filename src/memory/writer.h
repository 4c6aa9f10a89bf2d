// Making the image of a machine's memory.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "memory/image.h"

namespace wrenn::memory {

// Reads guest RAM at an offset; from a frozen process, or from a copy of what it had.
using PageReader = std::function<Status(uint64_t offset, std::span<char> out)>;

// What was found, in bytes.
struct Written {
  uint64_t candidate_bytes = 0;  // looked at
  uint64_t data_bytes = 0;       // went into the new file
  uint64_t zero_bytes = 0;       // are zeros now and were not
};

// Makes the image of a machine whose memory is `before` (whose files are in `before_directory`) but
// for `candidates`, which `read` gives: pages that are the same as before are left out, pages of
// zeros become part of the map only, the rest goes packed into one new file in `directory` (none if
// there is nothing). The files of `before` that are still needed are hard-linked into `directory`,
// which may be the same one. memory.map is not written, and nothing is synced: whoever promises
// that the image lasts syncs the folder's files. On failure no new file is left.
//
// A `before` without a base, as Image::Zero(size), is a machine that booted: then the new file is
// not packed but becomes the base, sparse, with every page at its own offset; even if it has none.
//
// kDataLoss when a file of `before` is missing; kResourceExhausted when the disk is full; what
// `read` fails with.
Result<Image> WriteImage(const Image& before, const std::string& before_directory,
                         const Ranges& candidates, const PageReader& read,
                         const std::string& directory, Written& written);

}  // namespace wrenn::memory
