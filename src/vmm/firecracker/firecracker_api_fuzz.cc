// What a Firecracker that its guest has taken over may answer.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "vmm/firecracker/api_answer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  (void)wrenn::vmm::ParseVersionAnswer(body);
  (void)wrenn::vmm::RefusalOf(wrenn::vmm::StartInstance(), 400, body);
  return 0;
}
