#include "wire/http_body.h"

#include <algorithm>
#include <charconv>

namespace wrenn::wire {
namespace {

// With extensions, which nobody sends; or of the trailer.
constexpr size_t kMaxChunkLine = 1024;
constexpr std::string_view kLineEnd = "\r\n";

tl::unexpected<Error> Malformed(std::string_view what) {
  return Fail(Code::kInvalidArgument, "malformed HTTP: {}", what);
}

tl::unexpected<Error> CutShort() {
  return Fail(Code::kUnavailable, "the connection was closed within a body");
}

}  // namespace

Status BodyReader::TakeChunkSize(std::string_view line) {
  // Extensions behind ';' are allowed and mean nothing to us.
  const std::string_view digits = line.substr(0, line.find(';'));
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), left_, 16);
  if (digits.empty() || digits.size() > 15 || error != std::errc() ||
      end != digits.data() + digits.size()) {
    return Malformed("bad chunk size");
  }
  part_ = left_ > 0 ? Part::kData : Part::kTrailer;
  return {};
}

Status BodyReader::ReadChunkLine(Deadline deadline) {
  const size_t limit = part_ == Part::kEnd ? kLineEnd.size() : kMaxChunkLine;
  auto text = stream_->ReadThrough(kLineEnd, limit, deadline);
  if (!text && text.error().code == Code::kOutOfRange) {
    return Malformed(part_ == Part::kEnd ? "bad chunk end" : "line too long in a chunked body");
  }
  if (!text) return Fail(std::move(text.error()));
  if (text->empty()) return CutShort();
  const std::string_view line = std::string_view(*text).substr(0, text->size() - kLineEnd.size());
  // A bare CR or LF in here ends the line for some readers and not for others.
  if (line.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos) {
    return Malformed("control character in a chunked body");
  }
  if (part_ == Part::kSize) return TakeChunkSize(line);
  if (part_ == Part::kEnd) {
    part_ = Part::kSize;
  } else if (line.empty()) {
    done_ = true;
  } else if ((trailer_bytes_ += line.size()) > kMaxHeadBytes) {
    return Malformed("trailer too long");
  }
  return {};
}

Result<size_t> BodyReader::ReadChunked(std::span<char> out, Deadline deadline) {
  while (part_ != Part::kData) {
    RETURN_IF_ERROR(ReadChunkLine(deadline));
    if (done_) return size_t{0};
  }
  const size_t want = static_cast<size_t>(std::min<uint64_t>(out.size(), left_));
  ASSIGN_OR_RETURN(const size_t got, stream_->Read(out.first(want), deadline));
  if (got == 0) return CutShort();
  left_ -= got;
  if (left_ == 0) {
    // The chunk's end is taken with its last byte, so that a stream with nothing to read but this
    // never looks as if there were more. What is wrong with it is told by the next read.
    part_ = Part::kEnd;
    auto end = ReadChunkLine(deadline);
    if (!end && end.error().code != Code::kDeadlineExceeded) broken_ = std::move(end.error());
  }
  return got;
}

Result<size_t> BodyReader::ReadNext(std::span<char> out, Deadline deadline) {
  if (!prelude_.empty()) {
    RETURN_IF_ERROR(stream_->Write(std::exchange(prelude_, {}), deadline));
  }
  if (length_.kind == BodyLength::Kind::kChunked) return ReadChunked(out, deadline);
  if (length_.kind == BodyLength::Kind::kUntilClose) {
    ASSIGN_OR_RETURN(const size_t got, stream_->Read(out, deadline));
    done_ = got == 0;
    return got;
  }
  const size_t want = static_cast<size_t>(std::min<uint64_t>(out.size(), left_));
  ASSIGN_OR_RETURN(const size_t got, stream_->Read(out.first(want), deadline));
  if (got == 0) return CutShort();
  left_ -= got;
  done_ = left_ == 0;
  return got;
}

Result<size_t> BodyReader::Read(std::span<char> out, Deadline deadline) {
  if (broken_) return Fail(*broken_);
  if (done_ || out.empty()) return size_t{0};
  auto got = ReadNext(out, deadline);
  if (!got && got.error().code != Code::kDeadlineExceeded) broken_ = got.error();
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
  if (data.empty() || !stream_) return {};  // an empty chunk would end the body
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
  return chunked_ && stream_ ? stream_->Write("0\r\n\r\n", deadline) : Status();
}

}  // namespace wrenn::wire
