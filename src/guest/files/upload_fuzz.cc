// Bodies of uploads from a hostile client: multipart, gzip, and the Range field of downloads.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "guest/files/gzip.h"
#include "guest/files/multipart.h"
#include "guest/files/range.h"

namespace wrenn::guest {
namespace {

class Source : public ByteSource {
 public:
  explicit Source(std::string_view text) : text_(text) {}
  Result<size_t> Read(std::span<char> out) override {
    const size_t count = std::min(out.size(), text_.size());
    std::memcpy(out.data(), text_.data(), count);
    text_.remove_prefix(count);
    return count;
  }

 private:
  std::string_view text_;
};

// Reads at most `limit` bytes: a gzip stream may hold a thousand times its size.
size_t ReadUpTo(ByteSource& source, size_t limit) {
  size_t total = 0;
  char buffer[4096];
  while (total < limit) {
    auto got = source.Read(buffer);
    if (!got || *got == 0) break;
    total += *got;
  }
  return total;
}

void CheckMultipart(std::string_view bytes) {
  Source source(bytes);
  MultipartReader reader(source, "XX");
  size_t total = 0;
  for (;;) {
    auto part = reader.NextPart();
    if (!part || !*part) break;
    total += ReadUpTo(reader, SIZE_MAX);
  }
  if (total > bytes.size()) std::abort();
}

}  // namespace
}  // namespace wrenn::guest

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace wrenn::guest;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  CheckMultipart(bytes);
  [[maybe_unused]] const auto boundary = MultipartBoundary(bytes);
  Source source(bytes);
  GunzipSource gunzip(source);
  ReadUpTo(gunzip, 1 << 20);
  const RangeAnswer answer = ParseRange(bytes, 1000);
  const bool part = answer.kind == RangeAnswer::Kind::kPart;
  if (part && (answer.range.first > answer.range.last || answer.range.last >= 1000)) std::abort();
  return 0;
}
