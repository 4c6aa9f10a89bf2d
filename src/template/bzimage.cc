#include "template/bzimage.h"

#include <algorithm>
#include <optional>

#include "template/decompress.h"

namespace wrenn::template_ {
namespace {

constexpr size_t kMaxKernel = size_t{1} << 30;
constexpr std::string_view kElf =
    "\x7f"
    "ELF";

// Offsets in the set-up header (Documentation/arch/x86/boot.rst).
constexpr size_t kSetupSects = 0x1f1;
constexpr size_t kHeaderMagic = 0x202;  // "HdrS"
constexpr size_t kVersion = 0x206;
constexpr size_t kPayloadOffset = 0x248;
constexpr size_t kPayloadLength = 0x24c;
constexpr size_t kSectorBytes = 512;

uint32_t ReadLe(std::string_view bytes, size_t at, int width) {
  uint32_t value = 0;
  for (int i = width - 1; i >= 0; --i)
    value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

// The payload by the header, if the header has it.
std::optional<std::string_view> PayloadByHeader(std::string_view image) {
  if (image.size() < kPayloadLength + 4) return std::nullopt;
  if (image.substr(kHeaderMagic, 4) != "HdrS" || ReadLe(image, kVersion, 2) < 0x208) {
    return std::nullopt;
  }
  size_t sectors = ReadLe(image, kSetupSects, 1);
  if (sectors == 0) sectors = 4;  // says the protocol
  const size_t begin = (sectors + 1) * kSectorBytes + ReadLe(image, kPayloadOffset, 4);
  const size_t length = ReadLe(image, kPayloadLength, 4);
  if (begin > image.size() || length > image.size() - begin) return std::nullopt;
  return image.substr(begin, length);
}

std::optional<std::string> Unpack(std::string_view payload) {
  if (payload.starts_with(kElf)) return std::string(payload);
  const auto compression = DetectCompression(payload);
  if (!compression) return std::nullopt;
  auto kernel = Decompress(*compression, payload, kMaxKernel);
  if (!kernel || !kernel->starts_with(kElf)) return std::nullopt;
  return std::move(*kernel);
}

// Every place where a compressed stream could begin; the first that holds an ELF file is the
// kernel.
std::optional<std::string> Search(std::string_view image) {
  for (const Compression compression : kCompressions) {
    const std::string_view magic = Magic(compression);
    for (size_t at = image.find(magic); at != image.npos; at = image.find(magic, at + 1)) {
      if (auto kernel = Unpack(image.substr(at))) return kernel;
    }
  }
  return std::nullopt;
}

}  // namespace

Result<std::string> ExtractVmlinux(std::string_view bzimage) {
  if (bzimage.starts_with(kElf)) return std::string(bzimage);
  if (const auto payload = PayloadByHeader(bzimage)) {
    if (auto kernel = Unpack(*payload)) return std::move(*kernel);
  }
  if (auto kernel = Search(bzimage)) return std::move(*kernel);
  return Fail(
      Code::kInvalidArgument,
      "no kernel found in the image: it is none, is damaged, or uses a compression other than "
      "LZ4, XZ, zstd and gzip");
}

}  // namespace wrenn::template_
