// What a disk's top layer says of those below it.
#pragma once

#include <string>

#include "base/result.h"
#include "disk/layers.h"

namespace wrenn::disk {

// The layers of a disk as they are now, by the headers: `layers`, apart from the top one, may be
// without some that were added, or may have some that MergeLayers() has made one of. kDataLoss when
// the top layer does not lead to them; what MergeLayers() fails with when a header cannot be read.
Result<Layers> FollowTop(const std::string& directory, const Layers& layers);

}  // namespace wrenn::disk
