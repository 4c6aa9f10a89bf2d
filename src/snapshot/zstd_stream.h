// Streams through zstd (RFC 8878), in constant memory.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "snapshot/packed.h"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace wrenn::snapshot {

// Compresses into one frame that ends with a checksum of its content.
class ZstdWriter {
 public:
  // `sink` must outlive it.
  explicit ZstdWriter(const ByteSink& sink);
  ~ZstdWriter();

  Status Write(std::string_view data);
  // Ends the frame.
  Status Finish();

 private:
  Status Push(std::string_view data, bool last);

  const ByteSink& sink_;
  ZSTD_CCtx_s* const context_;
  std::vector<char> buffer_;  // given to the sink when it is full
  size_t used_ = 0;
};

// Decompresses what may be hostile.
class ZstdReader {
 public:
  explicit ZstdReader(ByteSource source);
  ZstdReader(const ZstdReader&) = delete;
  ZstdReader& operator=(const ZstdReader&) = delete;
  ~ZstdReader();

  // At least one byte; 0 behind the last frame, whose checksums were right. kInvalidArgument:
  // damaged, cut off, no zstd, or in need of a window of more than 8 MiB; the source's errors as
  // they are.
  Result<size_t> Read(std::span<char> out);

 private:
  const ByteSource source_;
  ZSTD_DCtx_s* const context_;
  std::vector<char> buffer_;
  size_t begin_ = 0;  // in buffer_: what was not decompressed yet
  size_t end_ = 0;
  bool source_ended_ = false;
  bool between_frames_ = false;  // behind one
};

}  // namespace wrenn::snapshot
