// What a VMM that its guest has taken over may send on its control socket.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "vmm/qemu/qmp_parser.h"

// The first byte is the size of the pieces that the rest arrives in.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t step = data[0] == 0 ? size : data[0];
  std::string_view rest(reinterpret_cast<const char*>(data + 1), size - 1);
  wrenn::vmm::QmpLines lines;
  while (!rest.empty()) {
    const std::string_view piece = rest.substr(0, step);
    rest.remove_prefix(piece.size());
    if (!lines.Add(piece)) break;
    while (const auto line = lines.Next()) (void)wrenn::vmm::ParseQmpMessage(*line);
  }
  return 0;
}
