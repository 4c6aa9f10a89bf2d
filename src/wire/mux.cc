#include "wire/mux.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <thread>

#include "base/id.h"
#include "wire/mux_client_session.h"
#include "wire/mux_hello.h"
#include "wire/mux_server_session.h"

namespace wrenn::wire {
namespace {

using std::chrono::milliseconds;

// When the hand-shake is repeated (and then after twice the time, and so on): an agent that was
// restarted may have swallowed it.
constexpr milliseconds kFirstRepeat{2000};
constexpr size_t kReadSize = 64 << 10;

// A frame header that ends any session at whose frame boundary it comes.
const std::string kBreak(kMuxFrameHeader, kHelloPreambleByte);

// Whether a read or write that failed with this errno means that the peer has gone.
bool PeerGone(int err) { return err == EPIPE || err == ECONNRESET || err == ENOTCONN; }

// Writes what the transport takes at once; an errno other than "would block", or 0.
int WriteSome(int fd, ByteQueue& queue) {
  while (!queue.empty()) {
    const ssize_t sent = WriteQuietly(fd, queue.front());
    if (sent >= 0) {
      queue.Consume(static_cast<size_t>(sent));
    } else if (errno != EINTR) {
      return errno == EAGAIN ? 0 : errno;
    }
  }
  return 0;
}

class MuxClient : public Mux {
 public:
  MuxClient(UniqueFd transport, UniqueFd wake, std::string received)
      : transport_(std::move(transport)),
        wake_(std::move(wake)),
        session_(transport_.get(), wake_.get(), requests_),
        thread_([this, first = std::move(received)] { Run(first); }) {}

  ~MuxClient() override {
    Close();
    thread_.join();
  }

  void Close() override {
    session_.Stop();
    SignalEventFd(wake_.get());
  }

  Result<UniqueFd> Connect(uint16_t port, Deadline deadline) override {
    ASSIGN_OR_RETURN(auto pair, SocketPair());
    auto request = std::make_shared<MuxRequests::Request>();
    request->port = port;
    request->local = std::move(pair.first);
    RETURN_IF_ERROR(requests_.Push(request));
    SignalEventFd(wake_.get());
    // When the time is up our end closes on return, which makes the session give the stream up.
    RETURN_IF_ERROR(requests_.Await(*request, deadline));
    return std::move(pair.second);
  }

  bool alive() const override { return !requests_.closed(); }

 private:
  void Run(const std::string& received) {
    session_.Run(received);
    // The guest learns that the session is over, though this object may live on.
    ::shutdown(transport_.get(), SHUT_RDWR);
  }

  UniqueFd transport_;
  UniqueFd wake_;
  MuxRequests requests_;
  ClientSession session_;
  std::thread thread_;
};

// Does the host's part of the hand-shake; what came behind the guest's answer.
Result<std::string> ShakeHands(int transport, Deadline deadline) {
  ByteQueue out;
  PatternScanner scanner({}, 0);
  milliseconds wait = kFirstRepeat;
  Deadline repeat = Deadline::After(milliseconds(0));
  std::string buffer(kReadSize, '\0');
  for (;;) {
    if (out.empty() && repeat.HasPassed()) {
      const std::string nonce = RandomBytes(kHelloNonceBytes);
      out.Append(FormatHello(nonce));
      scanner = PatternScanner(std::string(kHelloReply) + nonce, 0);
      repeat = Deadline::After(wait);
      wait *= 2;
    }
    if (const int err = WriteSome(transport, out)) {
      return Fail(Code::kUnavailable, "the connection to the guest broke: {}", std::strerror(err));
    }
    const Deadline until = Deadline::Earlier(deadline, out.empty() ? repeat : Deadline::Never());
    auto ready =
        WaitReady(transport, static_cast<short>(POLLIN | (out.empty() ? 0 : POLLOUT)), until);
    if (!ready) {
      if (ready.error().code != Code::kDeadlineExceeded) return Fail(std::move(ready.error()));
      if (deadline.HasPassed()) {
        return Fail(Code::kDeadlineExceeded, "the guest's agent did not answer in time");
      }
      continue;
    }
    if (!(*ready & ~POLLOUT)) continue;
    const ssize_t got = ::read(transport, buffer.data(), buffer.size());
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got <= 0) return Fail(Code::kUnavailable, "the machine closed the connection to its guest");
    if (scanner.Feed({buffer.data(), static_cast<size_t>(got)})) return scanner.rest();
    if (deadline.HasPassed()) {
      return Fail(Code::kDeadlineExceeded, "the guest's agent did not answer in time");
    }
  }
}

// The guest's side between sessions.
class MuxServer {
 public:
  MuxServer(int transport, const MuxServerOptions& options)
      : transport_(transport), options_(options) {}

  Status Run() {
    for (;;) {
      auto nonce = AwaitHello();
      if (!nonce) return Fail(std::move(nonce.error()));
      if (!*nonce) return {};
      RunSession(**nonce);
      if (stopped_) return {};
    }
  }

 private:
  // The next hand-shake's nonce; nothing when it is time to end.
  Result<std::optional<std::string>> AwaitHello() {
    PatternScanner scanner{std::string(kHelloMagic), kHelloNonceBytes};
    std::string piece = std::exchange(received_, {});
    for (;;) {
      if (auto nonce = scanner.Feed(piece)) {
        received_ = scanner.rest();
        return nonce;
      }
      ASSIGN_OR_RETURN(const bool more, ReadPiece(piece));
      if (!more) return std::optional<std::string>();
    }
  }

  // Reads the next bytes, writing what is left of the last session meanwhile. False: end.
  Result<bool> ReadPiece(std::string& piece) {
    for (;;) {
      const short out = unsent_.empty() ? 0 : POLLOUT;
      pollfd entries[2] = {{transport_, static_cast<short>(POLLIN | out), 0},
                           {options_.stop, POLLIN, 0}};
      if (::poll(entries, 2, -1) < 0 && errno != EINTR) return Fail(ErrnoError("poll"));
      if (entries[1].revents) return false;
      if (entries[0].revents & POLLOUT && WriteSome(transport_, unsent_) != 0) unsent_.Clear();
      if (!(entries[0].revents & ~POLLOUT)) continue;
      const ssize_t got = ::read(transport_, buffer_.get(), kReadSize);
      const int err = got < 0 ? errno : 0;
      piece.assign(buffer_.get(), got > 0 ? static_cast<size_t>(got) : 0);
      if (got > 0) return true;
      if (err == EAGAIN || err == EINTR) continue;
      if (err != 0 && !PeerGone(err)) return Fail(ErrnoError("cannot read from the host", err));
      unsent_.Clear();
      if (!options_.wait_for_peer || !options_.wait_for_peer()) return false;
    }
  }

  void RunSession(const std::string& nonce) {
    unsent_.Clear();
    ServerSession session(transport_, std::string(kHelloReply) + nonce, options_);
    const MuxSession::End end = session.Run(std::exchange(received_, {}));
    stopped_ = end == MuxSession::End::kStopped;
    if (end != MuxSession::End::kBroken) return;
    received_ = session.leftover();
    if (session.superseded()) return;
    // The old host must learn that its session is over.
    unsent_.Append(session.unsent());
    unsent_.Append(kBreak);
  }

  const int transport_;
  const MuxServerOptions& options_;
  const std::unique_ptr<char[]> buffer_ = std::make_unique_for_overwrite<char[]>(kReadSize);
  std::string received_;  // off the transport, not looked at yet
  ByteQueue unsent_;
  bool stopped_ = false;
};

}  // namespace

Result<std::unique_ptr<Mux>> ConnectMux(UniqueFd transport, Deadline deadline) {
  ASSIGN_OR_RETURN(UniqueFd wake, MakeEventFd());
  ASSIGN_OR_RETURN(std::string received, ShakeHands(transport.get(), deadline));
  try {
    return std::make_unique<MuxClient>(std::move(transport), std::move(wake), std::move(received));
  } catch (const std::system_error& error) {  // the session's thread
    return Fail(Code::kResourceExhausted, "too many threads: {}", error.what());
  }
}

Status ServeMux(int transport, const MuxServerOptions& options) {
  return MuxServer(transport, options).Run();
}

}  // namespace wrenn::wire
