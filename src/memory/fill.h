// Giving a machine the memory of an image.
#pragma once

#include <cstdint>
#include <string>

#include "memory/image.h"
#include "memory/process_memory.h"

namespace wrenn::memory {

// Brings a machine that was started on the image's base (or, without one, on an empty file), and
// has not run yet, to the image's content: writes what differs from the base, zeros included. What
// the VMM or an earlier attempt has written already is put right too. Answers the bytes written.
//
// kUnavailable when the machine has ended; kDataLoss when a file is missing or cut off;
// kFailedPrecondition when the machine has more or less memory.
Result<uint64_t> Fill(const Image& image, const std::string& directory,
                      const ProcessMemory& memory);

}  // namespace wrenn::memory
