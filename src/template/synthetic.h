// Synthetic kernels, modules and streams for tests.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "template/decompress.h"

namespace wrenn::template_ {

// Bytes that compress somewhat, the same each time.
std::string SyntheticBytes(size_t size);

std::string CompressForTest(Compression compression, std::string_view bytes);
std::string CompressionName(Compression compression);

// A bzImage with this payload where its header says.
std::string MakeBzImage(std::string_view payload);

// An ELF file that says it depends on these modules.
std::string MakeModule(const std::string& depends);

}  // namespace wrenn::template_
