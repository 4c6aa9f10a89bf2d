// ByteStream: a socket with a read buffer; the transport under HTTP and WebSocket.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/io.h"

namespace wrenn::wire {

// Owns a connected, non-blocking socket. One thread reads and one may write at the same time.
class ByteStream {
 public:
  ByteStream() = default;
  explicit ByteStream(UniqueFd fd) : fd_(std::move(fd)) {}

  int fd() const { return fd_.get(); }

  // What is there, at least one byte; 0 at the end of the stream.
  Result<size_t> Read(std::span<char> out, Deadline deadline);

  // Everything up to and including `mark`, at most `limit` bytes (kOutOfRange beyond). An empty
  // text when the stream ends before its first byte; kUnavailable when it ends later.
  Result<std::string> ReadThrough(std::string_view mark, size_t limit, Deadline deadline);

  Status Write(std::string_view data, Deadline deadline);

  // Whether bytes wait in the buffer, so that a reader must not wait on the descriptor.
  bool HasBuffered() const { return begin_ < end_; }

  // Waits until there is something to read (or the end of the stream).
  Status WaitReadable(Deadline deadline);

  // Wakes a thread that is blocked in Read or Write, from another one.
  void Shutdown();

 private:
  // Reads more into the buffer; false at the end of the stream.
  Result<bool> Fill(Deadline deadline);

  UniqueFd fd_;
  // Grows, and is never cut: to fill it with zeros before each read costs more than most reads.
  std::string buffer_;
  size_t begin_ = 0;  // of the unread part
  size_t end_ = 0;
};

}  // namespace wrenn::wire
