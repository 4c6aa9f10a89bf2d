// ByteSource: bytes that are read as they come, from a request's body or through a decoder.
#pragma once

#include <span>

#include "wire/http_body.h"

namespace wrenn::guest {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // At least one byte; 0 at the end.
  virtual Result<size_t> Read(std::span<char> out) = 0;
};

// A request's body. `pause`: how long the client may send nothing.
class BodySource : public ByteSource {
 public:
  BodySource(wire::BodyReader& body, Deadline::Duration pause) : body_(body), pause_(pause) {}
  Result<size_t> Read(std::span<char> out) override {
    return body_.Read(out, Deadline::After(pause_));
  }

 private:
  wire::BodyReader& body_;
  Deadline::Duration pause_;
};

// Reads all of `source` away.
inline Status Drain(ByteSource& source) {
  char buffer[16 << 10];
  for (;;) {
    ASSIGN_OR_RETURN(const size_t got, source.Read(buffer));
    if (got == 0) return {};
  }
}

}  // namespace wrenn::guest
