#include "template/decompress.h"

#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>

namespace wrenn::template_ {
namespace {

constexpr size_t kChunk = 1 << 20;

tl::unexpected<Error> Damaged(const char* kind) {
  return Fail(Code::kInvalidArgument, "the {} stream is damaged", kind);
}

tl::unexpected<Error> TooLarge(size_t limit) {
  return Fail(Code::kOutOfRange, "it is larger than {} bytes when decompressed", limit);
}

uint32_t ReadLe32(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

// The legacy frame of the lz4 program, which kernels use: after the magic, blocks of a 32-bit
// length and that many bytes, each up to 8 MiB decompressed. Nothing marks the end but the end of
// the file, or a length that no block can have.
Result<std::string> Lz4Legacy(std::string_view in, size_t limit) {
  constexpr int kBlock = 8 << 20;
  std::string out;
  const auto block = std::make_unique<char[]>(kBlock);
  size_t at = 4;
  while (in.size() - at >= 4) {
    const uint32_t length = ReadLe32(in, at);
    at += 4;
    if (length == 0 || length > LZ4_COMPRESSBOUND(kBlock) || length > in.size() - at) break;
    const int got =
        LZ4_decompress_safe(in.data() + at, block.get(), static_cast<int>(length), kBlock);
    if (got < 0) return Damaged("LZ4");
    if (out.size() + got > limit) return TooLarge(limit);
    out.append(block.get(), got);
    at += length;
    if (got < kBlock) break;  // only the last one is short
  }
  if (out.empty()) return Damaged("LZ4");
  return out;
}

Result<std::string> Xz(std::string_view in, size_t limit) {
  lzma_stream stream = LZMA_STREAM_INIT;
  if (lzma_stream_decoder(&stream, 256 << 20, 0) != LZMA_OK) {
    return Fail(Code::kResourceExhausted, "no memory to decompress XZ");
  }
  const std::unique_ptr<lzma_stream, void (*)(lzma_stream*)> owner(&stream, lzma_end);
  std::string out;
  stream.next_in = reinterpret_cast<const uint8_t*>(in.data());
  stream.avail_in = in.size();
  while (true) {
    const size_t had = out.size();
    if (had > limit) return TooLarge(limit);
    out.resize(had + kChunk);
    stream.next_out = reinterpret_cast<uint8_t*>(out.data() + had);
    stream.avail_out = kChunk;
    const lzma_ret ret = lzma_code(&stream, LZMA_FINISH);
    out.resize(out.size() - stream.avail_out);
    if (ret == LZMA_STREAM_END) break;
    if (ret != LZMA_OK || stream.avail_out != 0) return Damaged("XZ");
  }
  if (out.size() > limit) return TooLarge(limit);
  return out;
}

Result<std::string> Zstd(std::string_view in, size_t limit) {
  const std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream(ZSTD_createDStream(),
                                                                        ZSTD_freeDStream);
  if (!stream) return Fail(Code::kResourceExhausted, "no memory to decompress zstd");
  ZSTD_DCtx_setParameter(stream.get(), ZSTD_d_windowLogMax, 28);  // kernels are made with --ultra
  std::string out;
  ZSTD_inBuffer source{in.data(), in.size(), 0};
  while (true) {
    const size_t had = out.size();
    if (had > limit) return TooLarge(limit);
    out.resize(had + kChunk);
    ZSTD_outBuffer target{out.data() + had, kChunk, 0};
    const size_t ret = ZSTD_decompressStream(stream.get(), &target, &source);
    out.resize(had + target.pos);
    if (ZSTD_isError(ret)) return Damaged("zstd");
    if (ret == 0) break;  // end of the frame
    if (target.pos < kChunk && source.pos == source.size) return Damaged("zstd");
  }
  if (out.size() > limit) return TooLarge(limit);
  return out;
}

Result<std::string> Gzip(std::string_view in, size_t limit) {
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 16) != Z_OK) {  // 16: with a gzip header
    return Fail(Code::kResourceExhausted, "no memory to decompress gzip");
  }
  const std::unique_ptr<z_stream, int (*)(z_stream*)> owner(&stream, inflateEnd);
  std::string out;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
  stream.avail_in = static_cast<uInt>(std::min<size_t>(in.size(), UINT32_MAX));
  while (true) {
    const size_t had = out.size();
    if (had > limit) return TooLarge(limit);
    out.resize(had + kChunk);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + had);
    stream.avail_out = kChunk;
    const int ret = inflate(&stream, Z_NO_FLUSH);
    out.resize(out.size() - stream.avail_out);
    if (ret == Z_STREAM_END) break;
    if (ret != Z_OK || (stream.avail_out != 0 && stream.avail_in == 0)) return Damaged("gzip");
  }
  if (out.size() > limit) return TooLarge(limit);
  return out;
}

}  // namespace

std::string_view Magic(Compression compression) {
  using std::string_view_literals::operator""sv;
  switch (compression) {
    case Compression::kLz4Legacy:
      return "\x02\x21\x4c\x18"sv;
    case Compression::kXz:
      return "\xfd\x37\x7a\x58\x5a\x00"sv;
    case Compression::kZstd:
      return "\x28\xb5\x2f\xfd"sv;
    case Compression::kGzip:
      return "\x1f\x8b\x08"sv;
  }
  return {};
}

std::optional<Compression> DetectCompression(std::string_view bytes) {
  for (const Compression compression : kCompressions) {
    if (bytes.starts_with(Magic(compression))) return compression;
  }
  return std::nullopt;
}

Result<std::string> Decompress(Compression compression, std::string_view bytes, size_t limit) {
  if (!bytes.starts_with(Magic(compression))) {
    return Fail(Code::kInvalidArgument, "not a stream of that compression");
  }
  switch (compression) {
    case Compression::kLz4Legacy:
      return Lz4Legacy(bytes, limit);
    case Compression::kXz:
      return Xz(bytes, limit);
    case Compression::kZstd:
      return Zstd(bytes, limit);
    case Compression::kGzip:
      return Gzip(bytes, limit);
  }
  return Fail(Code::kInternal, "unknown compression");
}

}  // namespace wrenn::template_
