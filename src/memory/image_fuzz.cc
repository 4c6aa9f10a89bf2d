// A memory map from anywhere: what is taken is a valid image, and says again what it said.
//
// The input is a map without its digest, which is made here: else nothing would get beyond it.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "memory/image.h"
#include "os/digest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace wrenn;
  std::string map(reinterpret_cast<const char*>(data), size);
  const auto digest = os::Sha256Bytes(map);
  map.append(reinterpret_cast<const char*>(digest.data()), digest.size());
  auto image = memory::Decode(map);
  if (!image) {
    const Code code = image.error().code;
    if (code != Code::kInvalidArgument && code != Code::kUnimplemented) std::abort();
    return 0;
  }
  if (!image->Check() || memory::Encode(*image) != map) std::abort();
  // The whole RAM as one change leaves one extent, and no file but the base.
  image->Apply({{.offset = 0, .length = image->size}});
  if (!image->Check() || image->extents.size() != 1 || image->files.size() > 1) std::abort();
  if (!memory::Decode(memory::Encode(*image))) std::abort();
  return 0;
}
