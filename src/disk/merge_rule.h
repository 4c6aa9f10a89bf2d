// When many small layers are worth merging.
#pragma once

#include <span>
#include <string>

#include "disk/layers.h"

namespace wrenn::disk {

// How many of these layers of a disk, top first, should become one: those that are not much larger
// than all above them together, so that each byte is copied only as often as the disk doubles. 0
// when they are few.
size_t LayersToMerge(const std::string& folder, std::span<const Layer> layers);

}  // namespace wrenn::disk
