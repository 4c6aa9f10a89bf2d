// Checking all files of a snapshot.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "snapshot/layer_digests.h"
#include "snapshot/manifest.h"

namespace wrenn::snapshot {

// No more problems than this are told.
inline constexpr size_t kMaxProblems = 100;

// What a check found. The problems are for people; they hold no path of the host.
struct Verdict {
  size_t files = 0;    // that were looked at
  uint64_t bytes = 0;  // that were read and compared with a digest
  // Layers of the disk that have no digest yet, or never got one: only their structure was looked
  // at.
  size_t unchecked = 0;
  std::vector<std::string> problems;

  bool ok() const { return problems.empty(); }
};

// The image that a snapshot's disk lies over.
struct Base {
  std::string path;    // of its root file system
  std::string digest;  // SHA-256 of that, 64 hex digits
};

// Reads all of a snapshot, and goes on after a problem. The machine's state, the memory map, each
// chunk of the memory files, the disk's layers and the image are compared with their digests. Each
// layer must also be sound qcow2 that lies over the next, the lowest over the image. kNotFound:
// there is no such snapshot; kCanceled: `go_on` said no.
Result<Verdict> Verify(const std::string& place, const Base& base, const GoOn& go_on = {});

// For a snapshot that Open() has found good: compares the rest of what a machine is restored from
// with its digests, the chunks of the memory files and the disk's layers, which lie over the image
// at this path. kDataLoss saying what is damaged.
Status VerifyForLoad(const std::string& place, const Manifest& manifest, const std::string& image);

// Compares an image alone. kCanceled as above.
Result<Verdict> VerifyBase(const Base& base, const GoOn& go_on = {});

}  // namespace wrenn::snapshot
