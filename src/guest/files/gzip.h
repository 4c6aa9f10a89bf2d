// gzip (RFC 1952) as streams of constant memory.
#pragma once

#include <zlib.h>

#include <array>
#include <string>

#include "guest/files/byte_source.h"

namespace wrenn::guest {

// What a gzip stream holds; several members one after the other too.
class GunzipSource : public ByteSource {
 public:
  // `source` must outlive it.
  explicit GunzipSource(ByteSource& source);
  ~GunzipSource() override { ::inflateEnd(&stream_); }
  GunzipSource(const GunzipSource&) = delete;
  GunzipSource& operator=(const GunzipSource&) = delete;

  // kInvalidArgument for what is not gzip, kUnavailable for a stream cut short.
  Result<size_t> Read(std::span<char> out) override;

 private:
  ByteSource& source_;
  z_stream stream_{};
  std::array<char, 16 << 10> input_;
  bool in_member_ = false;
};

// Compresses piece by piece.
class Gzip {
 public:
  Gzip();
  ~Gzip() { ::deflateEnd(&stream_); }
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;

  // The compressed bytes that come out for these; `last` ends the stream.
  std::string Add(std::string_view data, bool last);

 private:
  z_stream stream_{};
};

}  // namespace wrenn::guest
