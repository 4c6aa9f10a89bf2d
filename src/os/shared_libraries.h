// What a dynamically linked program needs of the host to run, for a jail to hold it (ld.so(8)).
#pragma once

#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"

namespace wrenn::os {

struct SharedLibrary {
  std::string name;  // that it is looked for by: "libc.so.6"
  std::string path;
  friend bool operator==(const SharedLibrary&, const SharedLibrary&) = default;
};

struct LinkedProgram {
  std::string loader;  // the path that the program names for it; empty: it is static
  std::vector<SharedLibrary> libraries;
};

// Asks the program's own loader, as it would be for a start now; nothing of the program runs. What
// is opened later by dlopen(3) is not among it. kInvalidArgument for what is no ELF program of 64
// bits, kNotFound when a library is missing.
Result<LinkedProgram> FindSharedLibraries(const std::string& program, Deadline deadline);

// The lines of `ld.so --list`: "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f...)". What
// has no path of its own, the loader and the kernel's, is left out.
Result<std::vector<SharedLibrary>> ParseLibraryList(const std::string& text);

}  // namespace wrenn::os
