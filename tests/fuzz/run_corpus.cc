// Runs a fuzz target on files instead of on what a fuzzer makes up: main() of its corpus test.
//
// Usage: <name>_fuzz PATH...   a file, or a folder whose files are run; one that is absent counts
// as empty.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "base/io.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

bool RunFile(const std::string& path) {
  const auto content = wrenn::ReadFile(path);
  if (!content) {
    std::fprintf(stderr, "%s\n", content.error().ToString().c_str());
    return false;
  }
  // Named first, so that a crash says which file it was.
  std::fprintf(stderr, "%s\n", path.c_str());
  // An allocation of its own exact size, so that a sanitizer sees every byte read beyond it.
  const std::vector<uint8_t> bytes(content->begin(), content->end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const uint8_t none = 0;
  LLVMFuzzerTestOneInput(&none, 0);
  bool good = true;
  for (int i = 1; i < argc; ++i) {
    if (!std::filesystem::is_directory(argv[i])) {
      if (std::filesystem::exists(argv[i])) good = RunFile(argv[i]) && good;
      continue;
    }
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      if (entry.is_regular_file()) good = RunFile(entry.path()) && good;
    }
  }
  return good ? 0 : 1;
}
