// The compressions that kernels and their modules come in.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace wrenn::template_ {

enum class Compression { kLz4Legacy, kXz, kZstd, kGzip };

inline constexpr Compression kCompressions[] = {Compression::kLz4Legacy, Compression::kXz,
                                                Compression::kZstd, Compression::kGzip};

// The bytes a stream of that kind begins with.
std::string_view Magic(Compression compression);

// By the first bytes.
std::optional<Compression> DetectCompression(std::string_view bytes);

// Decompresses one stream; what lies behind its end is ignored, since kernels have their length and
// padding there. kInvalidArgument for a damaged stream, kOutOfRange when it gives more than
// `limit`.
Result<std::string> Decompress(Compression compression, std::string_view bytes, size_t limit);

}  // namespace wrenn::template_
