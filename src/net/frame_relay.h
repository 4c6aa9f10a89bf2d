// FrameRelay: stands between a machine and its user-mode network and holds back what may not leave.
#pragma once

#include "base/result.h"
#include "net/frame_filter.h"

namespace wrenn::net {

// The machine's half of the relay: takes a stream of frames, each behind its length of four bytes
// (big endian), and gives the same stream without those that may not leave.
class FrameScreen {
 public:
  // The longest frame that is taken: QEMU's own limit.
  static constexpr size_t kMaxFrame = 68 << 10;

  // Where to put the next bytes; never empty while Pending() is.
  std::span<char> Space();
  // Screens `count` new bytes in that space. False when the stream is broken: a frame of an
  // impossible length.
  bool Advance(size_t count, const EgressPolicy& policy);
  // What may be sent on now; Sent() takes it away.
  std::span<const char> Pending() const { return {buffer_ + sent_, screened_ - sent_}; }
  void Sent(size_t count);

 private:
  // [sent_, screened_) may leave; [raw_, end_) is a frame that has not come whole.
  static constexpr size_t kSize = 4 * kMaxFrame;
  char buffer_[kSize];
  size_t sent_ = 0;
  size_t screened_ = 0;
  size_t raw_ = 0;
  size_t end_ = 0;
};

// Relays between two connected, non-blocking sockets until one of them ends, and answers why when
// that was not an ordinary end. What comes back from the network passes as it is. The host's
// addresses in the policy are kept up to date.
Status RelayFrames(int machine, int network, EgressPolicy policy);

}  // namespace wrenn::net
