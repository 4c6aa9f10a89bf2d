// Work on guest RAM by a few threads.
#pragma once

#include <cstdint>
#include <functional>

#include "memory/range.h"

namespace wrenn::memory {

// Runs `work` on pieces of `ranges` at the same time, when they are large enough for that. It is
// told each piece and how many bytes of `ranges` are before it, and must not throw. Waits for all;
// answers a failure if there was one.
Status InParallel(const Ranges& ranges,
                  const std::function<Status(const Ranges& part, uint64_t before)>& work);

}  // namespace wrenn::memory
