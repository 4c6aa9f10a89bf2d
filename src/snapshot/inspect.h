// What a snapshot takes on the disk.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "snapshot/manifest.h"

namespace wrenn::snapshot {

// All numbers of bytes are those that are allocated on the disk, holes not counted. What a file
// shares with other snapshots and sandboxes (hard links) counts in full, except in `own_bytes`.
struct Contents {
  Manifest manifest;
  size_t memory_files = 0;
  uint64_t memory_bytes = 0;  // of the memory files
  uint64_t disk_bytes = 0;    // of the disk's layers, without the image below them
  uint64_t state_bytes = 0;   // of processors and devices
  uint64_t own_bytes = 0;     // of files that no other folder has: what a removal gives back
};

// Looks at the files of a snapshot; errors of Open().
Result<Contents> Inspect(const std::string& place);

}  // namespace wrenn::snapshot
