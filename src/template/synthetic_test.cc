// The makers of synthetic.h; in a test file, so that they are not part of the program.
#include <elf.h>
#include <gtest/gtest.h>
#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <cstring>

#include "template/synthetic.h"

namespace wrenn::template_ {
namespace {

std::string Le32(size_t value) {
  std::string out;
  for (int i = 0; i < 4; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
  return out;
}

std::string PackLz4(std::string_view bytes) {
  constexpr size_t kBlock = 8 << 20;
  std::string out(Magic(Compression::kLz4Legacy));
  for (size_t at = 0; at < bytes.size(); at += kBlock) {
    const std::string_view part = bytes.substr(at, kBlock);
    std::string block(LZ4_compressBound(static_cast<int>(part.size())), '\0');
    const int size = LZ4_compress_default(part.data(), block.data(), static_cast<int>(part.size()),
                                          static_cast<int>(block.size()));
    out += Le32(size) + block.substr(0, size);
  }
  return out;
}

std::string PackXz(std::string_view bytes) {
  std::string out(lzma_stream_buffer_bound(bytes.size()), '\0');
  size_t at = 0;
  EXPECT_EQ(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, nullptr,
                                    reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(),
                                    reinterpret_cast<uint8_t*>(out.data()), &at, out.size()),
            LZMA_OK);
  return out.substr(0, at);
}

std::string PackZstd(std::string_view bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  const size_t size = ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 1);
  EXPECT_FALSE(ZSTD_isError(size));
  return out.substr(0, size);
}

std::string PackGzip(std::string_view bytes) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

template <typename T>
std::string Raw(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

}  // namespace

std::string SyntheticBytes(size_t size) {
  std::string bytes(size, '\0');
  uint32_t state = 1;
  for (char& c : bytes) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>("abcdefgh"[state >> 29]);
  }
  return bytes;
}

std::string CompressForTest(Compression compression, std::string_view bytes) {
  switch (compression) {
    case Compression::kLz4Legacy:
      return PackLz4(bytes);
    case Compression::kXz:
      return PackXz(bytes);
    case Compression::kZstd:
      return PackZstd(bytes);
    case Compression::kGzip:
      return PackGzip(bytes);
  }
  return {};
}

std::string CompressionName(Compression compression) {
  switch (compression) {
    case Compression::kLz4Legacy:
      return "Lz4";
    case Compression::kXz:
      return "Xz";
    case Compression::kZstd:
      return "Zstd";
    case Compression::kGzip:
      return "Gzip";
  }
  return {};
}

std::string MakeBzImage(std::string_view payload) {
  constexpr size_t kSetupSectors = 3;
  constexpr size_t kStub = 700;  // the decompressor's code in front of the payload
  std::string image((kSetupSectors + 1) * 512, '\0');
  image[0x1f1] = kSetupSectors;
  image.replace(0x202, 4, "HdrS");
  image.replace(0x206, 2, "\x0f\x02");
  image.replace(0x248, 4, Le32(kStub));
  image.replace(0x24c, 4, Le32(payload.size()));
  return image + std::string(kStub, '\x90') + std::string(payload) + std::string(900, '\xcc');
}

std::string MakeModule(const std::string& depends) {
  using std::string_literals::operator""s;
  const std::string info = "license=GPL\0depends="s + depends + "\0name=x\0"s;
  const std::string names = "\0.modinfo\0.shstrtab\0"s;
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_shoff = sizeof header + info.size() + names.size();
  header.e_shnum = 3;
  header.e_shstrndx = 2;
  Elf64_Shdr null{};
  Elf64_Shdr modinfo{};
  modinfo.sh_name = 1;
  modinfo.sh_offset = sizeof header;
  modinfo.sh_size = info.size();
  Elf64_Shdr strings{};
  strings.sh_name = 10;
  strings.sh_offset = sizeof header + info.size();
  strings.sh_size = names.size();
  return Raw(header) + info + names + Raw(null) + Raw(modinfo) + Raw(strings);
}

}  // namespace wrenn::template_
