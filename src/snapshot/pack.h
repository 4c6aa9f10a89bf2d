// Packing a snapshot into one stream.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "snapshot/packed.h"

namespace wrenn::snapshot {

// A file to be packed, and its name in the stream.
struct PackSource {
  std::string name;
  std::string path;
};

// Writes the index and then the files, in this order, as one stream of the packed form. `labels` is
// the index but for its files. Holes are kept where they are large; memory use is constant. The
// files must not change meanwhile. Errors of the sink as they are; kDataLoss: a file has become
// shorter.
Status Pack(PackedIndex labels, const std::vector<PackSource>& files, const ByteSink& sink);

}  // namespace wrenn::snapshot
