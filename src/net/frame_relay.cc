#include "net/frame_relay.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "base/io.h"

namespace wrenn::net {
namespace {

constexpr size_t kLengthBytes = 4;

uint32_t LengthAt(const char* bytes) {
  const auto* b = reinterpret_cast<const unsigned char*>(bytes);
  return uint32_t{b[0]} << 24 | uint32_t{b[1]} << 16 | uint32_t{b[2]} << 8 | b[3];
}

// What came of one non-blocking read or write.
enum class Step { kDone, kWait, kEnd };

Step Classify(ssize_t result, Status& why) {
  if (result > 0) return Step::kDone;
  if (result < 0 && (errno == EAGAIN || errno == EINTR)) return Step::kWait;
  if (result < 0 && errno != ECONNRESET && errno != EPIPE) why = Fail(ErrnoError("frame relay"));
  return Step::kEnd;
}

// The way back: bytes from the network to the machine.
class Passage {
 public:
  bool Empty() const { return begin_ == end_; }
  Step Read(int fd, Status& why) {
    const ssize_t got = ::recv(fd, buffer_, sizeof buffer_, MSG_DONTWAIT);
    const Step step = Classify(got, why);
    if (step == Step::kDone) begin_ = 0, end_ = static_cast<size_t>(got);
    return step;
  }
  Step Write(int fd, Status& why) {
    const ssize_t put = ::send(fd, buffer_ + begin_, end_ - begin_, MSG_DONTWAIT | MSG_NOSIGNAL);
    const Step step = Classify(put, why);
    if (step == Step::kDone) begin_ += static_cast<size_t>(put);
    return step;
  }

 private:
  char buffer_[256 << 10];
  size_t begin_ = 0;
  size_t end_ = 0;
};

class Relay {
 public:
  Relay(int machine, int network, EgressPolicy policy)
      : machine_(machine), network_(network), policy_(std::move(policy)) {}

  Status Run() {
    for (;;) {
      // Each way is read only when what was read before has been sent: the sockets hold the rest
      // back.
      const bool outward = !screen_.Pending().empty();
      const bool inward = !back_.Empty();
      pollfd entries[] = {Wanted(machine_, !outward, inward), Wanted(network_, !inward, outward)};
      if (::poll(entries, 2, -1) < 0) {
        if (errno == EINTR) continue;
        return Fail(ErrnoError("poll"));
      }
      Status why;
      if ((outward ? SendOut(why) : TakeIn(entries[0].revents, why)) == Step::kEnd) return why;
      if ((inward ? back_.Write(machine_, why) : ReadBack(entries[1].revents, why)) == Step::kEnd) {
        return why;
      }
    }
  }

 private:
  // A side that nothing is wanted of is left out: it would report its end again and again, while
  // what came before that waits for the other side.
  static pollfd Wanted(int fd, bool in, bool out) {
    const auto events = static_cast<short>((in ? POLLIN : 0) | (out ? POLLOUT : 0));
    return {events == 0 ? -1 : fd, events, 0};
  }

  Step TakeIn(short events, Status& why) {
    if (events == 0) return Step::kWait;
    const std::span<char> space = screen_.Space();
    const ssize_t got = ::recv(machine_, space.data(), space.size(), MSG_DONTWAIT);
    const Step step = Classify(got, why);
    if (step != Step::kDone) return step;
    RefreshHostAddresses();
    if (!screen_.Advance(static_cast<size_t>(got), policy_)) {
      why = Fail(Code::kDataLoss, "the machine sent a frame of an impossible length");
      return Step::kEnd;
    }
    return screen_.Pending().empty() ? Step::kWait : SendOut(why);
  }

  Step SendOut(Status& why) {
    const std::span<const char> bytes = screen_.Pending();
    const ssize_t put = ::send(network_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    const Step step = Classify(put, why);
    if (step == Step::kDone) screen_.Sent(static_cast<size_t>(put));
    return step;
  }

  Step ReadBack(short events, Status& why) {
    if (events == 0) return Step::kWait;
    const Step step = back_.Read(network_, why);
    return step == Step::kDone ? back_.Write(machine_, why) : step;
  }

  // A laptop changes its network, a server gets an address more.
  void RefreshHostAddresses() {
    constexpr std::chrono::seconds kEvery(10);
    const auto now = std::chrono::steady_clock::now();
    if (now < refresh_) return;
    // Those that were known stay when they cannot be had now; without any, nothing leaves.
    auto addresses = HostAddresses();
    if (addresses) policy_.host = std::move(*addresses);
    if (policy_.host) refresh_ = now + kEvery;
  }

  const int machine_;
  const int network_;
  EgressPolicy policy_;
  std::chrono::steady_clock::time_point refresh_;
  FrameScreen screen_;
  Passage back_;
};

}  // namespace

std::span<char> FrameScreen::Space() {
  if (sent_ == screened_) {
    // All that was screened is gone: the unfinished frame goes to the beginning.
    std::memmove(buffer_, buffer_ + raw_, end_ - raw_);
    end_ -= raw_;
    sent_ = screened_ = raw_ = 0;
  }
  return {buffer_ + end_, kSize - end_};
}

bool FrameScreen::Advance(size_t count, const EgressPolicy& policy) {
  end_ += count;
  while (end_ - raw_ >= kLengthBytes) {
    const size_t length = LengthAt(buffer_ + raw_);
    if (length > kMaxFrame) return false;
    const size_t whole = kLengthBytes + length;
    if (end_ - raw_ < whole) break;
    const auto* frame = reinterpret_cast<const unsigned char*>(buffer_ + raw_ + kLengthBytes);
    if (MayLeave({frame, length}, policy)) {
      std::memmove(buffer_ + screened_, buffer_ + raw_, whole);
      screened_ += whole;
    }
    raw_ += whole;
  }
  return true;
}

void FrameScreen::Sent(size_t count) { sent_ += count; }

Status RelayFrames(int machine, int network, EgressPolicy policy) {
  return std::make_unique<Relay>(machine, network, std::move(policy))->Run();
}

}  // namespace wrenn::net
