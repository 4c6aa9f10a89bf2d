// multipart/form-data (RFC 7578) as a stream of constant memory.
#pragma once

#include <optional>
#include <string>

#include "guest/files/byte_source.h"

namespace wrenn::guest {

// The boundary of a Content-Type field; nothing when it is not multipart/form-data or has none.
std::optional<std::string> MultipartBoundary(std::string_view content_type);

// One part; its bytes are read from the MultipartReader.
struct Part {
  std::string name;
  std::string filename;
};

// Reads part after part; as a ByteSource it gives the bytes of the current one.
class MultipartReader : public ByteSource {
 public:
  // `source` must outlive it.
  MultipartReader(ByteSource& source, const std::string& boundary)
      : source_(source), delimiter_("\r\n--" + boundary) {}

  // The next part, the rest of the current one skipped; nothing after the last. kInvalidArgument
  // when malformed, kUnavailable when the body ends before its last boundary.
  Result<std::optional<Part>> NextPart();

  Result<size_t> Read(std::span<char> out) override;

 private:
  // Reads more; an end here is an error.
  Status Fill();
  std::string_view unread() const { return std::string_view(buffer_).substr(begin_); }
  Result<std::string> ReadLine();

  ByteSource& source_;
  const std::string delimiter_;
  // The first boundary need not follow a line's end: it is as if one had been read.
  std::string buffer_ = "\r\n";
  size_t begin_ = 0;
  bool ended_ = false;
};

}  // namespace wrenn::guest
