// ELF files, by their first bytes.
#pragma once

#include <string>

namespace wrenn::os {

// Whether the file begins as an ELF file does; false also for one that cannot be read.
bool IsElfFile(const std::string& path);

}  // namespace wrenn::os
