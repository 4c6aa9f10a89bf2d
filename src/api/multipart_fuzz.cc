// Multipart bodies of a hostile client: the first byte chooses the size of reads, the second how
// parts are taken; whatever the reads, the parts are the same.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "api/multipart.h"

namespace wrenn::api {
namespace {

std::string Parse(std::string_view body, size_t step, bool skip) {
  size_t at = 0;
  MultipartReader reader(
      [&](std::span<char> out) -> Result<size_t> {
        const size_t count = std::min({step, out.size(), body.size() - at});
        std::memcpy(out.data(), body.data() + at, count);
        at += count;
        return count;
      },
      "b");
  std::string all;
  for (;;) {
    auto part = reader.NextPart();
    if (!part) return all + "!";
    if (!*part) return all;
    all += (*part)->name + "=";
    if (skip) continue;
    auto content = reader.ReadAll(1 << 16);
    if (!content) return all + "!";
    all += *content + ";";
  }
}

}  // namespace
}  // namespace wrenn::api

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const size_t step = size_t{1} + data[0];
  const bool skip = data[1] & 1;
  const std::string_view body(reinterpret_cast<const char*>(data) + 2,
                              std::min<size_t>(size - 2, 65536));
  if (wrenn::api::Parse(body, step, skip) != wrenn::api::Parse(body, body.size() + 1, skip))
    std::abort();
  [[maybe_unused]] auto boundary = wrenn::api::MultipartReader::Boundary(body);
  return 0;
}
