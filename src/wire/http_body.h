// Bodies of HTTP messages as streams of constant memory.
#pragma once

#include "wire/byte_stream.h"
#include "wire/http.h"

namespace wrenn::wire {

// Reads one body off a stream that it does not own.
class BodyReader {
 public:
  BodyReader() = default;
  BodyReader(ByteStream& stream, BodyLength length) : stream_(&stream), length_(length) {
    left_ = length.bytes;
    done_ = length.kind == BodyLength::Kind::kFixed && left_ == 0;
  }

  // Sends this before the first read: the answer to "Expect: 100-continue".
  void SetPrelude(std::string prelude) { prelude_ = std::move(prelude); }
  // Whether that was not sent yet: the other side holds its body back.
  bool HasPrelude() const { return !prelude_.empty(); }

  // At least one byte; 0 at the body's proper end. A stream that ends too early is kUnavailable,
  // bad chunks are kInvalidArgument; both stay. After kDeadlineExceeded one can read again.
  Result<size_t> Read(std::span<char> out, Deadline deadline);

  // The rest of the body; kOutOfRange when that is more than `limit` bytes.
  Result<std::string> ReadAll(size_t limit, Deadline deadline);

  // Whether the whole body was read.
  bool done() const { return done_; }
  BodyLength length() const { return length_; }

 private:
  // What comes next of a chunked body (RFC 9112 section 7.1).
  enum class Part { kSize, kData, kEnd, kTrailer };

  Result<size_t> ReadNext(std::span<char> out, Deadline deadline);
  Result<size_t> ReadChunked(std::span<char> out, Deadline deadline);
  Status ReadChunkLine(Deadline deadline);
  Status TakeChunkSize(std::string_view line);

  ByteStream* stream_ = nullptr;
  BodyLength length_;
  uint64_t left_ = 0;  // of the fixed body, or of the chunk
  Part part_ = Part::kSize;
  size_t trailer_bytes_ = 0;
  bool done_ = true;
  std::optional<Error> broken_;  // what went wrong: nothing behind it can be trusted
  std::string prelude_;
};

// Writes one body: plain when its length was announced, else in chunks. Without a stream (the
// answer to HEAD) it writes nothing.
class BodyWriter {
 public:
  BodyWriter() = default;
  BodyWriter(ByteStream& stream, bool chunked) : stream_(&stream), chunked_(chunked) {}

  Status Write(std::string_view data, Deadline deadline);
  // Ends the body. A body that is not finished reads as broken at the other end.
  Status Finish(Deadline deadline);

 private:
  ByteStream* stream_ = nullptr;
  bool chunked_ = false;
};

}  // namespace wrenn::wire
