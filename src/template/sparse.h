// Sparse files: giving back the room that zeros take.
#pragma once

#include <string>

#include "base/result.h"

namespace wrenn::template_ {

// Makes holes of a file's blocks of zeros; what it reads as stays the same. Does nothing where the
// file system has no holes.
Status DigHoles(const std::string& path);

}  // namespace wrenn::template_
