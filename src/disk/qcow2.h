// The qcow2 image format, as far as an empty overlay needs it.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace wrenn::disk {

// The whole content of an empty qcow2 image (version 3, clusters of 64 KiB) of `size_bytes` over a
// raw backing file. `backing` is its name as QEMU reads it: absolute, or relative to the image's
// folder. kInvalidArgument: a name of more than 1023 bytes; kOutOfRange: more than 4 TiB. Source:
// https://www.qemu.org/docs/master/interop/qcow2.html
Result<std::string> MakeQcow2Header(const std::string& backing, uint64_t size_bytes);

// The length that the file must be given; what the header leaves out are zeros.
inline constexpr uint64_t kEmptyQcow2Bytes = 4 * 65536;

}  // namespace wrenn::disk
