// Merging: what several qcow2 layers say together.
#pragma once

#include <vector>

#include "base/result.h"
#include "disk/qcow2_reader.h"

namespace wrenn::disk {

// Layers that lie over each other, top first, at least one. Each must have passed Check() and must
// not be smaller than the one below it (nor than what the lowest lies over): so what is behind a
// layer's end is zeros, and needs no entry.
using Readers = std::vector<Qcow2Reader>;

// Writes all that the layers have into the empty file `fd`, as one qcow2 layer over what the lowest
// of them lies over. Memory: about 300 KiB, and a table of the lengths of the disk.
Status MergeToQcow2(const Readers& layers, int fd);

// Writes all that the layers have over the raw disk in `fd`, which is what the lowest of them lies
// over, already of the top layer's size.
Status MergeIntoRaw(const Readers& layers, int fd);

}  // namespace wrenn::disk
