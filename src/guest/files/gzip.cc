#include "guest/files/gzip.h"

#include <new>

namespace wrenn::guest {
namespace {

constexpr int kGzipFormat = 15 + 16;  // zlib.h: the largest window, with a gzip header
constexpr int kFast = 1;              // the guest's CPU may be an emulated one
constexpr int kMemoryLevel = 8;

Bytef* Bytes(const char* data) { return reinterpret_cast<Bytef*>(const_cast<char*>(data)); }

}  // namespace

GunzipSource::GunzipSource(ByteSource& source) : source_(source) {
  if (::inflateInit2(&stream_, kGzipFormat) != Z_OK) throw std::bad_alloc();
}

Result<size_t> GunzipSource::Read(std::span<char> out) {
  stream_.next_out = Bytes(out.data());
  stream_.avail_out = static_cast<uInt>(out.size());
  while (stream_.avail_out == out.size()) {
    if (stream_.avail_in == 0) {
      ASSIGN_OR_RETURN(const size_t got, source_.Read(input_));
      if (got == 0) {
        if (!in_member_) return size_t{0};
        return Fail(Code::kUnavailable, "the gzip stream is cut short");
      }
      stream_.next_in = Bytes(input_.data());
      stream_.avail_in = static_cast<uInt>(got);
    }
    in_member_ = true;
    const int result = ::inflate(&stream_, Z_NO_FLUSH);
    if (result == Z_STREAM_END) {
      in_member_ = false;
      ::inflateReset(&stream_);
    } else if (result != Z_OK) {
      return Fail(Code::kInvalidArgument, "the body is not gzip: {}",
                  stream_.msg ? stream_.msg : "bad data");
    }
  }
  return out.size() - stream_.avail_out;
}

Gzip::Gzip() {
  if (::deflateInit2(&stream_, kFast, Z_DEFLATED, kGzipFormat, kMemoryLevel, Z_DEFAULT_STRATEGY) !=
      Z_OK) {
    throw std::bad_alloc();
  }
}

std::string Gzip::Add(std::string_view data, bool last) {
  std::string out;
  char buffer[16 << 10];
  stream_.next_in = Bytes(data.data());
  stream_.avail_in = static_cast<uInt>(data.size());
  do {
    stream_.next_out = Bytes(buffer);
    stream_.avail_out = sizeof buffer;
    ::deflate(&stream_, last ? Z_FINISH : Z_NO_FLUSH);
    out.append(buffer, sizeof buffer - stream_.avail_out);
  } while (stream_.avail_out == 0);
  return out;
}

}  // namespace wrenn::guest
