#include "os/elf_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <string_view>

#include "base/unique_fd.h"

namespace wrenn::os {

bool IsElfFile(const std::string& path) {
  constexpr std::string_view kMagic = "\177ELF";
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  char begin[kMagic.size()];
  return file && ::pread(file.get(), begin, sizeof begin, 0) == sizeof begin &&
         std::string_view(begin, sizeof begin) == kMagic;
}

}  // namespace wrenn::os
