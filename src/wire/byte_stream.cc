#include "wire/byte_stream.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace wrenn::wire {
namespace {
constexpr size_t kReadSize = 16 << 10;
}

Result<bool> ByteStream::Fill(Deadline deadline) {
  // Always, not only when all was read: on a stream that never lets it run empty it would grow.
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= std::exchange(begin_, 0);
  if (buffer_.size() < end_ + kReadSize) buffer_.resize(end_ + kReadSize);
  ASSIGN_OR_RETURN(const size_t got,
                   ReadSome(fd_.get(), std::span(buffer_).subspan(end_, kReadSize), deadline));
  end_ += got;
  return got > 0;
}

Result<size_t> ByteStream::Read(std::span<char> out, Deadline deadline) {
  if (!HasBuffered()) {
    // Large reads go straight to the caller's memory.
    if (out.size() >= kReadSize) return ReadSome(fd_.get(), out, deadline);
    ASSIGN_OR_RETURN(const bool more, Fill(deadline));
    if (!more) return size_t{0};
  }
  const size_t count = std::min(out.size(), end_ - begin_);
  std::memcpy(out.data(), buffer_.data() + begin_, count);
  begin_ += count;
  return count;
}

Result<std::string> ByteStream::ReadThrough(std::string_view mark, size_t limit,
                                            Deadline deadline) {
  size_t searched = 0;
  for (;;) {
    const std::string_view unread(buffer_.data() + begin_, end_ - begin_);
    const size_t at = unread.find(mark, searched);
    if (at != std::string_view::npos && at + mark.size() <= limit) {
      std::string text(unread.substr(0, at + mark.size()));
      begin_ += text.size();
      return text;
    }
    if (unread.size() >= limit) return Fail(Code::kOutOfRange, "longer than {} bytes", limit);
    searched = unread.size() < mark.size() ? 0 : unread.size() - mark.size() + 1;
    ASSIGN_OR_RETURN(const bool more, Fill(deadline));
    if (!more) {
      if (!HasBuffered()) return std::string();
      return Fail(Code::kUnavailable, "the connection was closed in the middle of a message");
    }
  }
}

Status ByteStream::Write(std::string_view data, Deadline deadline) {
  return WriteAll(fd_.get(), data, deadline);
}

Status ByteStream::WaitReadable(Deadline deadline) {
  if (HasBuffered()) return {};
  ASSIGN_OR_RETURN([[maybe_unused]] const short ready, WaitReady(fd_.get(), POLLIN, deadline));
  return {};
}

void ByteStream::Shutdown() { ::shutdown(fd_.get(), SHUT_RDWR); }

}  // namespace wrenn::wire
