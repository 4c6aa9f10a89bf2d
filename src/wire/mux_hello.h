// The hand-shake under a mux session (see mux.h): how both ends find the beginning of a session in
// a byte stream that may hold the remains of others.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace wrenn::wire {

// The largest payload of an HTTP/2 frame on a mux: the protocol's default. A larger one would make
// the preamble longer, which every new session pays for.
inline constexpr size_t kMuxMaxFrame = 16384;
inline constexpr size_t kMuxFrameHeader = 9;

// Longer than any frame with its header, and one header more.
inline constexpr size_t kHelloPreamble = kMuxMaxFrame + 4 * kMuxFrameHeader;
inline constexpr char kHelloPreambleByte = '\xFF';
inline constexpr std::string_view kHelloMagic = "\xF0wrenn-mux hello";
inline constexpr std::string_view kHelloReply = "\xF1wrenn-mux reply";
inline constexpr size_t kHelloNonceBytes = 16;

// What the host sends to begin a session.
std::string FormatHello(std::string_view nonce);

// Finds a pattern, with some bytes behind it, in a stream that comes in pieces. Keeps no more than
// one piece and what could be the pattern's beginning.
class PatternScanner {
 public:
  PatternScanner(std::string pattern, size_t behind)
      : pattern_(std::move(pattern)), behind_(behind) {}

  // Looks at the next piece of the stream. When the pattern and the bytes behind it are complete:
  // those bytes. What follows them in the stream is left in rest().
  std::optional<std::string> Feed(std::string_view piece);
  const std::string& rest() const { return window_; }

 private:
  std::string pattern_;
  size_t behind_;
  std::string window_;
};

// Follows the frames of an HTTP/2 connection from its preface on, to notice where a new hand-shake
// begins: a frame header with an oversized length, which no session sends.
class FrameTracker {
 public:
  // How many of these bytes, the next ones of the stream, come before such a header. Less than all
  // means that it was found; the tracker is of no use then. A part of the header that came with
  // earlier pieces has been counted as the session's, which does it no harm.
  size_t Admit(std::string_view bytes);

 private:
  uint64_t skip_ = 24;  // bytes of payload still to come; at first the connection preface
  size_t header_have_ = 0;
  uint32_t length_ = 0;
};

}  // namespace wrenn::wire
