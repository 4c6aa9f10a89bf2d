// MultipartReader: multipart/form-data (RFC 7578) as a stream of parts, at constant memory.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"

namespace wrenn::api {

// Strict: every line ends in CRLF, nothing stands before the first boundary or behind one on its
// line, and every part says its name.
class MultipartReader {
 public:
  // Gives more of the body: at least one byte, 0 at its end.
  using Source = std::function<Result<size_t>(std::span<char>)>;

  struct Part {
    std::string name;
    std::optional<std::string> filename;
  };

  // The boundary that a Content-Type declares; kInvalidArgument when it is not multipart/form-data
  // with a boundary of 1 to 70 characters (RFC 2046 section 5.1.1).
  static Result<std::string> Boundary(std::string_view content_type);

  MultipartReader(Source source, std::string_view boundary);

  // The next part, what is left of the present one skipped; nothing behind the last.
  // kInvalidArgument for a malformed body or one that ends early.
  Result<std::optional<Part>> NextPart();

  // Bytes of the present part: at least one, 0 at its end.
  Result<size_t> Read(std::span<char> out);
  // The rest of the present part; kOutOfRange when it is longer than `limit`.
  Result<std::string> ReadAll(size_t limit);

 private:
  // Reads more into the buffer; false at the body's end.
  Result<bool> Fill();
  // Takes a line up to its CRLF.
  Result<std::string> TakeLine();
  Result<Part> ReadPartHead();
  // How many bytes of the part are at the buffer's start, and whether its end follows them.
  Result<size_t> Available();

  Source source_;
  const std::string delimiter_;  // CRLF "--" boundary
  std::string buffer_;
  size_t begin_ = 0;
  bool at_end_of_part_ = true;  // the delimiter is next
  bool done_ = false;
};

}  // namespace wrenn::api
