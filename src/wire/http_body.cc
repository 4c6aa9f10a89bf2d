#include "wire/http_body.h"

#include <algorithm>
#include <charconv>

namespace wrenn::wire {
namespace {
constexpr size_t kMaxChunkLine = 1024;
}

Result<uint64_t> BodyReader::ReadChunkSize(Deadline deadline) {
  ASSIGN_OR_RETURN(const std::string line, stream_->ReadThrough("\r\n", kMaxChunkLine, deadline));
  if (line.empty()) return Fail(Code::kUnavailable, "the connection was closed within a body");
  // Extensions behind ';' are allowed and mean nothing to us.
  const std::string_view digits =
      std::string_view(line).substr(0, std::min(line.find(';'), line.size() - 2));
  uint64_t size = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), size, 16);
  if (digits.empty() || digits.size() > 15 || error != std::errc() ||
      end != digits.data() + digits.size()) {
    return Fail(Code::kInvalidArgument, "malformed HTTP: bad chunk size");
  }
  return size;
}

Status BodyReader::ReadTrailer(Deadline deadline) {
  size_t total = 0;
  for (;;) {
    ASSIGN_OR_RETURN(const std::string line, stream_->ReadThrough("\r\n", kMaxChunkLine, deadline));
    if (line == "\r\n") return {};
    total += line.size();
    if (line.empty() || total > kMaxHeadBytes) {
      return Fail(Code::kInvalidArgument, "malformed HTTP: bad trailer");
    }
  }
}

Result<size_t> BodyReader::Read(std::span<char> out, Deadline deadline) {
  if (done_ || out.empty()) return size_t{0};
  if (!prelude_.empty()) {
    RETURN_IF_ERROR(stream_->Write(std::exchange(prelude_, {}), deadline));
  }
  if (length_.kind == BodyLength::Kind::kUntilClose) {
    ASSIGN_OR_RETURN(const size_t got, stream_->Read(out, deadline));
    done_ = got == 0;
    return got;
  }
  if (length_.kind == BodyLength::Kind::kChunked && left_ == 0) {
    ASSIGN_OR_RETURN(left_, ReadChunkSize(deadline));
    if (left_ == 0) {
      RETURN_IF_ERROR(ReadTrailer(deadline));
      done_ = true;
      return size_t{0};
    }
  }
  const size_t want = static_cast<size_t>(std::min<uint64_t>(out.size(), left_));
  ASSIGN_OR_RETURN(const size_t got, stream_->Read(out.first(want), deadline));
  if (got == 0) return Fail(Code::kUnavailable, "the connection was closed within a body");
  left_ -= got;
  if (left_ == 0 && length_.kind == BodyLength::Kind::kFixed) done_ = true;
  if (left_ == 0 && length_.kind == BodyLength::Kind::kChunked) {
    // The chunk's end is taken with its last byte, so that a stream with nothing to read but this
    // never looks as if there were more.
    const auto end = stream_->ReadThrough("\r\n", 2, deadline);
    if (!end && end.error().code == Code::kOutOfRange) {
      return Fail(Code::kInvalidArgument, "malformed HTTP: bad chunk end");
    }
    if (!end) return Fail(end.error());
    if (end->empty()) return Fail(Code::kUnavailable, "the connection was closed within a body");
  }
  return got;
}

Result<std::string> BodyReader::ReadAll(size_t limit, Deadline deadline) {
  if (length_.kind == BodyLength::Kind::kFixed && left_ > limit) {
    return Fail(Code::kOutOfRange, "the body is larger than {} bytes", limit);
  }
  std::string body;
  char buffer[16 << 10];
  for (;;) {
    ASSIGN_OR_RETURN(const size_t got, Read(buffer, deadline));
    if (got == 0) return body;
    if (body.size() + got > limit) {
      return Fail(Code::kOutOfRange, "the body is larger than {} bytes", limit);
    }
    body.append(buffer, got);
  }
}

Status BodyWriter::Write(std::string_view data, Deadline deadline) {
  if (data.empty()) return {};  // an empty chunk would end the body
  if (!chunked_) return stream_->Write(data, deadline);
  // Small chunks go out in one system call, so that they are one packet and one wake-up.
  std::string head = fmt::format("{:x}\r\n", data.size());
  if (data.size() <= 4096) {
    head.append(data).append("\r\n");
    return stream_->Write(head, deadline);
  }
  RETURN_IF_ERROR(stream_->Write(head, deadline));
  RETURN_IF_ERROR(stream_->Write(data, deadline));
  return stream_->Write("\r\n", deadline);
}

Status BodyWriter::Finish(Deadline deadline) {
  return chunked_ ? stream_->Write("0\r\n\r\n", deadline) : Status();
}

}  // namespace wrenn::wire
