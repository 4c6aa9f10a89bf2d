// Digests of the layers of a snapshot's disk (docs/snapshot-format.md).
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <string>

#include "base/result.h"
#include "snapshot/manifest.h"

namespace wrenn::snapshot {

// Asked every MiB or so whether to go on.
using GoOn = std::function<bool()>;

// What a layer's file holds, as 64 hex digits: SHA-256 of its length and its chunks' digests, so
// that holes cost nothing. `read`, if given, gets the bytes added that were read. kNotFound for a
// file that is missing; kCanceled: `go_on` said no.
Result<std::string> DigestLayer(const std::string& path, const GoOn& go_on = {},
                                uint64_t* read = nullptr);

// Adds the digests that the manifest does not have yet, of layers in `folder` that take up to
// `most_bytes` on the disk. Their names stand for one content for ever, so what it has is right.
// kCanceled as above: the manifest has those then that were done.
Status AddLayerDigests(const std::string& folder, Manifest& manifest, const GoOn& go_on = {},
                       uint64_t most_bytes = std::numeric_limits<uint64_t>::max());

// Whether all layers have one.
bool HasAllDigests(const Manifest& manifest);

}  // namespace wrenn::snapshot
