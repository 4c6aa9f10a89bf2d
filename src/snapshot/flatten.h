// Flattening: a snapshot's memory as one file.
#pragma once

#include <string>

#include "base/result.h"

namespace wrenn::snapshot {

// Makes one flat file of the memory of a snapshot whose machines would have to write much into
// theirs otherwise (memory::WantsFlatten()), so that they share it. Only of one that nothing else
// uses or names yet: after a failure it may be damaged. Durable. Errors of Open() and
// memory::Flatten().
Status FlattenMemory(const std::string& place);

}  // namespace wrenn::snapshot
