#include "snapshot/zstd_stream.h"

#include <zstd.h>

#include <cstdlib>
#include <utility>

namespace wrenn::snapshot {
namespace {

constexpr size_t kBufferSize = 256 << 10;
// zstd's own default: what is beyond it costs far more time than it saves bytes.
constexpr int kLevel = 3;
// The largest window that is made at a level up to 19. It is memory that the file asks for.
constexpr int kMaxWindowLog = 23;

// These fail for want of memory, or of a parameter that every version has: nothing to go on with.
template <typename T>
T* Must(T* context) {
  if (context == nullptr) std::abort();
  return context;
}
void Must(size_t result) {
  if (ZSTD_isError(result)) std::abort();
}

}  // namespace

ZstdWriter::ZstdWriter(const ByteSink& sink)
    : sink_(sink), context_(Must(ZSTD_createCCtx())), buffer_(kBufferSize) {
  Must(ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, kLevel));
  Must(ZSTD_CCtx_setParameter(context_, ZSTD_c_checksumFlag, 1));
}

ZstdWriter::~ZstdWriter() { ZSTD_freeCCtx(context_); }

Status ZstdWriter::Write(std::string_view data) { return Push(data, false); }

Status ZstdWriter::Finish() { return Push({}, true); }

Status ZstdWriter::Push(std::string_view data, bool last) {
  ZSTD_inBuffer in{data.data(), data.size(), 0};
  for (;;) {
    ZSTD_outBuffer out{buffer_.data(), buffer_.size(), used_};
    const size_t left =
        ZSTD_compressStream2(context_, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
    if (ZSTD_isError(left)) {
      return Fail(Code::kInternal, "cannot compress: {}", ZSTD_getErrorName(left));
    }
    used_ = out.pos;
    const bool done = last ? left == 0 : in.pos == in.size;
    if (used_ == buffer_.size() || (last && done)) {
      RETURN_IF_ERROR(sink_({buffer_.data(), std::exchange(used_, 0)}));
    }
    if (done) return {};
  }
}

ZstdReader::ZstdReader(ByteSource source)
    : source_(std::move(source)), context_(Must(ZSTD_createDCtx())), buffer_(kBufferSize) {
  Must(ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, kMaxWindowLog));
}

ZstdReader::~ZstdReader() { ZSTD_freeDCtx(context_); }

Result<size_t> ZstdReader::Read(std::span<char> out) {
  for (;;) {
    ZSTD_inBuffer in{buffer_.data() + begin_, end_ - begin_, 0};
    ZSTD_outBuffer target{out.data(), out.size(), 0};
    // Between frames without input it would only begin to wait for the next one.
    if (in.size > 0 || !between_frames_) {
      const size_t left = ZSTD_decompressStream(context_, &target, &in);
      if (ZSTD_isError(left)) {
        return Fail(Code::kInvalidArgument, "its compression is damaged: {}",
                    ZSTD_getErrorName(left));
      }
      begin_ += in.pos;
      if (in.pos > 0 || target.pos > 0) between_frames_ = left == 0;
      if (target.pos > 0) return target.pos;
      if (begin_ < end_) continue;
    }
    if (source_ended_) {
      if (between_frames_) return 0;
      return Fail(Code::kInvalidArgument, "it is cut off");
    }
    ASSIGN_OR_RETURN(end_, source_(buffer_));
    begin_ = 0;
    source_ended_ = end_ == 0;
  }
}

}  // namespace wrenn::snapshot
