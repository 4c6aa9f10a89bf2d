#include "wire/mux_hello.h"

#include <algorithm>

namespace wrenn::wire {

std::string FormatHello(std::string_view nonce) {
  std::string hello(kHelloPreamble, kHelloPreambleByte);
  hello.append(kHelloMagic).append(nonce);
  return hello;
}

std::optional<std::string> PatternScanner::Feed(std::string_view piece) {
  window_.append(piece);
  const size_t at = window_.find(pattern_);
  if (at == std::string::npos) {
    const size_t keep = std::min(window_.size(), pattern_.size() - 1);
    window_.erase(0, window_.size() - keep);
    return std::nullopt;
  }
  if (window_.size() - at < pattern_.size() + behind_) {
    window_.erase(0, at);
    return std::nullopt;
  }
  std::string found = window_.substr(at + pattern_.size(), behind_);
  window_.erase(0, at + pattern_.size() + behind_);
  return found;
}

size_t FrameTracker::Admit(std::string_view bytes) {
  size_t at = 0;
  while (at < bytes.size()) {
    if (skip_ > 0) {
      const uint64_t step = std::min<uint64_t>(skip_, bytes.size() - at);
      skip_ -= step;
      at += step;
      continue;
    }
    // The length is the header's first three bytes, big-endian (RFC 9113 section 4.1).
    if (header_have_ < 3) length_ = length_ << 8 | static_cast<unsigned char>(bytes[at]);
    ++header_have_;
    ++at;
    if (header_have_ == 3 && length_ > kMuxMaxFrame) return at - std::min<size_t>(at, 3);
    if (header_have_ == kMuxFrameHeader) {
      skip_ = length_;
      header_have_ = 0;
      length_ = 0;
    }
  }
  return at;
}

}  // namespace wrenn::wire
