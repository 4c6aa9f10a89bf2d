// What a disk's top layer says of those below it.
#pragma once

#include <string>

#include "base/result.h"
#include "disk/layers.h"

namespace wrenn::disk {

// Of a disk whose layers below the top one may have been replaced by one that MergeLayers() made of
// some of them: its layers as they are now, by the headers. `layers` as they were, or as they are.
// kDataLoss when the top layer lies over neither; what MergeLayers() fails with when a header
// cannot be read.
Result<Layers> FollowTop(const std::string& directory, const Layers& layers);

}  // namespace wrenn::disk
