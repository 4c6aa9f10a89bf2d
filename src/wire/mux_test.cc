#include "wire/mux.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <atomic>
#include <random>
#include <thread>

#include "base/gate.h"
#include "wire/mux_hello.h"
#include "wire/mux_server_session.h"

namespace wrenn::wire {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint16_t kEchoPort = 7;    // answers what it reads, ends when its reader's end comes
constexpr uint16_t kStallPort = 9;   // never reads
constexpr uint16_t kFloodPort = 19;  // writes without end
constexpr uint16_t kCountPort = 20;  // reads to the end, then answers with count and checksum
constexpr uint16_t kHelloPort = 21;  // says "hello", ends, and reads on to the end

Deadline Soon() { return Deadline::After(seconds(20)); }

// FNV-1a, to compare streams of any length.
class Checksum {
 public:
  void Add(std::string_view bytes) {
    for (const char c : bytes) value_ = (value_ ^ static_cast<unsigned char>(c)) * 1099511628211u;
    count_ += bytes.size();
  }
  std::string Text() const { return fmt::format("{}:{:x}", count_, value_); }

 private:
  uint64_t value_ = 14695981039346656037u;
  uint64_t count_ = 0;
};

std::string RandomText(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

// Everything up to the end of the stream.
Result<std::string> ReadToEnd(int fd) {
  std::string text;
  char buffer[32 << 10];
  for (;;) {
    ASSIGN_OR_RETURN(const size_t got, ReadSome(fd, buffer, Soon()));
    if (got == 0) return text;
    text.append(buffer, got);
  }
}

Result<std::string> ReadExactly(int fd, size_t size) {
  std::string text(size, '\0');
  for (size_t at = 0; at < size;) {
    ASSIGN_OR_RETURN(const size_t got, ReadSome(fd, std::span(text).subspan(at), Soon()));
    if (got == 0) return Fail(Code::kUnavailable, "ended after {} bytes", at);
    at += got;
  }
  return text;
}

// Writes until the other side takes no more for a while; how many bytes it took.
size_t WriteUntilStuck(int fd) {
  const std::string chunk(16 << 10, 'x');
  size_t total = 0;
  for (;;) {
    const ssize_t sent = ::send(fd, chunk.data(), chunk.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      total += static_cast<size_t>(sent);
    } else if (errno != EAGAIN || !WaitReady(fd, POLLOUT, Deadline::After(milliseconds(300)))) {
      return total;
    }
  }
}

// The services of a guest, on threads of their own.
class Services {
 public:
  ~Services() {
    gate_.Close();
    {
      std::lock_guard lock(mutex_);
      for (auto& fd : held_) ::shutdown(fd->get(), SHUT_RDWR);
    }
    gate_.WaitEmpty(Deadline::Never());
  }

  Result<UniqueFd> Accept(uint16_t port) {
    if (port != kEchoPort && port != kStallPort && port != kFloodPort && port != kCountPort &&
        port != kHelloPort) {
      return Fail(Code::kUnavailable, "nothing listens on port {}", port);
    }
    ASSIGN_OR_RETURN(auto pair, SocketPair());
    auto fd = std::make_shared<UniqueFd>(std::move(pair.second));
    {
      std::lock_guard lock(mutex_);
      held_.push_back(fd);
    }
    std::thread([this, port, fd, pass = gate_.Enter()]() mutable {
      Serve(port, fd->get());
      {
        std::lock_guard lock(mutex_);
        std::erase(held_, fd);
        fd.reset();
      }
      changed_.notify_all();
      pass = Gate::Pass();
    }).detach();
    return std::move(pair.first);
  }

  // Waits until no service has a connection any more.
  bool WaitNoneOpen() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, seconds(20), [&] { return held_.empty(); });
  }
  uint64_t flooded() const { return flooded_; }

 private:
  void Serve(uint16_t port, int fd) {
    Checksum sum;
    char buffer[16 << 10];
    if (port == kStallPort) {
      // Until the other end closes: a hang-up comes without reading.
      [[maybe_unused]] auto gone = WaitReady(fd, 0, Deadline::Never());
      return;
    }
    if (port == kFloodPort) {
      const std::string chunk(16 << 10, 'f');
      while (WriteAll(fd, chunk, Deadline::Never())) flooded_ += chunk.size();
      return;
    }
    if (port == kHelloPort) {
      [[maybe_unused]] auto sent = WriteAll(fd, "hello", Soon());
      ::shutdown(fd, SHUT_WR);
    }
    for (;;) {
      const auto got = ReadSome(fd, buffer, Deadline::Never());
      if (!got || *got == 0) break;
      const std::string_view data(buffer, *got);
      sum.Add(data);
      if (port == kEchoPort && !WriteAll(fd, data, Deadline::Never())) break;
    }
    if (port == kCountPort) [[maybe_unused]]
      auto sent = WriteAll(fd, sum.Text(), Soon());
  }

  Gate gate_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::shared_ptr<UniqueFd>> held_;
  std::atomic<uint64_t> flooded_{0};
};

// A guest behind a virtio-serial port: its side stays open while hosts come and go. What the guest
// writes while no host is there is lost, as with QEMU.
class Guest {
 public:
  Guest() {
    auto pair = SocketPair();
    port_ = std::move(pair->first);
    guest_end_ = std::move(pair->second);
    stop_ = std::move(*MakeEventFd());
    replug_ = std::move(*MakeEventFd());
    server_ = std::thread([this] {
      MuxServerOptions options;
      options.accept = [this](uint16_t port) { return services_.Accept(port); };
      options.wait_for_peer = [] { return false; };
      options.stop = stop_.get();
      status_ = ServeMux(guest_end_.get(), options);
    });
    relay_ = std::thread([this] { Relay(); });
  }
  ~Guest() {
    Stop();
    ending_ = true;
    SignalEventFd(replug_.get());
    relay_.join();
  }

  void Stop() {
    SignalEventFd(stop_.get());
    if (server_.joinable()) server_.join();
  }

  // A new host's socket. After `cut` bytes of the host were passed on, the host is cut off. An
  // earlier host is cut off as well.
  UniqueFd Plug(size_t cut = SIZE_MAX) {
    auto pair = SocketPair();
    std::lock_guard lock(mutex_);
    next_ = std::move(pair->second);
    next_cut_ = cut;
    SignalEventFd(replug_.get());
    return std::move(pair->first);
  }

  Result<std::unique_ptr<Mux>> Connect() { return ConnectMux(Plug(), Soon()); }
  Services& services() { return services_; }
  const Status& status() const { return status_; }

 private:
  void Relay() {
    std::vector<char> buffer(64 << 10);
    UniqueFd host;
    size_t cut = 0;
    while (!ending_) {
      pollfd entries[3] = {
          {port_.get(), POLLIN, 0}, {host.get(), POLLIN, 0}, {replug_.get(), POLLIN, 0}};
      ::poll(entries, 3, -1);
      if (entries[2].revents) {
        DrainEventFd(replug_.get());
        std::lock_guard lock(mutex_);
        host = std::move(next_);
        cut = next_cut_;
        continue;
      }
      if (entries[0].revents) {
        const ssize_t got = ::read(port_.get(), buffer.data(), buffer.size());
        if (got <= 0) return;
        if (host && !WriteAll(host.get(), {buffer.data(), static_cast<size_t>(got)}, Soon()))
          host.Reset();
      }
      if (host && entries[1].revents) {
        const ssize_t got = ::read(host.get(), buffer.data(), std::min(cut, buffer.size()));
        if (got > 0) {
          cut -= static_cast<size_t>(got);
          if (!WriteAll(port_.get(), {buffer.data(), static_cast<size_t>(got)}, Soon())) return;
        }
        if (got <= 0 || cut == 0) host.Reset();
      }
    }
  }

  Services services_;
  UniqueFd port_, guest_end_, stop_, replug_;
  std::mutex mutex_;
  UniqueFd next_;
  size_t next_cut_ = 0;
  std::atomic<bool> ending_{false};
  Status status_;
  std::thread server_, relay_;
};

void ExpectEcho(Mux& mux, std::string_view text) {
  auto stream = mux.Connect(kEchoPort, Soon());
  ASSERT_TRUE(stream) << stream.error().ToString();
  std::thread writer([&] {
    EXPECT_TRUE(WriteAll(stream->get(), text, Soon()));
    ::shutdown(stream->get(), SHUT_WR);
  });
  auto back = ReadToEnd(stream->get());
  writer.join();
  ASSERT_TRUE(back) << back.error().ToString();
  EXPECT_TRUE(*back == text) << back->size() << " bytes of " << text.size();
}

TEST(MuxTest, CarriesLargeStreamsBothWays) {
  Guest guest;
  auto mux = guest.Connect();
  ASSERT_TRUE(mux) << mux.error().ToString();
  EXPECT_TRUE((*mux)->alive());
  ExpectEcho(**mux, "");
  ExpectEcho(**mux, "x");
  ExpectEcho(**mux, RandomText(20 << 20, 1));
}

TEST(MuxTest, TakesHalfCloseFromTheHost) {
  Guest guest;
  auto mux = guest.Connect();
  ASSERT_TRUE(mux);
  auto stream = (*mux)->Connect(kCountPort, Soon());
  ASSERT_TRUE(stream);
  const std::string text = RandomText(3'000'000, 2);
  ASSERT_TRUE(WriteAll(stream->get(), text, Soon()));
  ::shutdown(stream->get(), SHUT_WR);
  Checksum sum;
  sum.Add(text);
  EXPECT_EQ(ReadToEnd(stream->get()).value_or("broken"), sum.Text());
  EXPECT_TRUE(guest.services().WaitNoneOpen());
}

TEST(MuxTest, TakesHalfCloseFromTheGuest) {
  Guest guest;
  auto mux = guest.Connect();
  ASSERT_TRUE(mux);
  auto stream = (*mux)->Connect(kHelloPort, Soon());
  ASSERT_TRUE(stream);
  EXPECT_EQ(ReadToEnd(stream->get()).value_or("broken"), "hello");
  // The other direction is still open.
  EXPECT_TRUE(WriteAll(stream->get(), RandomText(1 << 20, 3), Soon()));
  ::shutdown(stream->get(), SHUT_WR);
  EXPECT_TRUE(guest.services().WaitNoneOpen());
}

TEST(MuxTest, ClosingASilentStreamReachesTheGuest) {
  Guest guest;
  auto mux = guest.Connect();
  ASSERT_TRUE(mux);
  auto stream = (*mux)->Connect(kStallPort, Soon());
  ASSERT_TRUE(stream);
  stream->Reset();
  EXPECT_TRUE(guest.services().WaitNoneOpen());
}

TEST(MuxTest, ClosingAFloodedStreamStopsTheFlood) {
  Guest guest;
  auto mux = guest.Connect();
  ASSERT_TRUE(mux);
  auto stream = (*mux)->Connect(kFloodPort, Soon());
  ASSERT_TRUE(stream);
  ASSERT_TRUE(ReadExactly(stream->get(), 1 << 20));
  stream->Reset();
  EXPECT_TRUE(guest.services().WaitNoneOpen());
  // What the session held for the closed stream does not count against the others.
  for (int i = 0; i < 50; ++i) {
    auto next = (*mux)->Connect(kFloodPort, Soon());
    ASSERT_TRUE(next);
    ASSERT_TRUE(ReadExactly(next->get(), 1000));
  }
  ExpectEcho(**mux, RandomText(1 << 20, 4));
}

TEST(MuxTest, ManyStreamsAtOnce) {
  Guest guest;
  auto mux = guest.Connect();
  ASSERT_TRUE(mux);
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < 100; ++i) {
    threads.emplace_back([&, i] { ExpectEcho(**mux, RandomText(100'000 + 1000 * i, i)); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(guest.services().WaitNoneOpen());
}

TEST(MuxTest, RefusesMoreStreamsThanItsLimit) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < 5 * kMuxMaxStreams) GTEST_SKIP() << "needs more file descriptors";

  auto pair = SocketPair();
  UniqueFd stop = std::move(*MakeEventFd());
  std::vector<UniqueFd> held;
  std::thread guest([&] {
    MuxServerOptions options;
    options.accept = [&](uint16_t) -> Result<UniqueFd> {
      ASSIGN_OR_RETURN(auto ends, SocketPair());
      held.push_back(std::move(ends.second));
      return std::move(ends.first);
    };
    options.stop = stop.get();
    EXPECT_TRUE(ServeMux(pair->second.get(), options));
  });
  auto mux = ConnectMux(std::move(pair->first), Soon());
  ASSERT_TRUE(mux);
  std::vector<UniqueFd> streams;
  for (uint32_t i = 0; i < kMuxMaxStreams; ++i) {
    auto stream = (*mux)->Connect(1, Soon());
    ASSERT_TRUE(stream) << i << ": " << stream.error().ToString();
    streams.push_back(std::move(*stream));
  }
  EXPECT_EQ((*mux)->Connect(1, Soon()).error().code, Code::kResourceExhausted);
  // One that is closed makes room for another, as soon as the session has seen it.
  streams.pop_back();
  Result<UniqueFd> again = Fail(Code::kUnknown, "");
  for (const Deadline end = Soon(); !again && !end.HasPassed();) again = (*mux)->Connect(1, Soon());
  EXPECT_TRUE(again);
  SignalEventFd(stop.get());
  guest.join();
}

// A socket pair holds some 200 KB each way, twice on the way, and the window 256 KB.
constexpr size_t kStallBound = (256 << 10) + 2 * (500 << 10);

TEST(MuxTest, StalledGuestStopsOnlyItsOwnStream) {
  Guest guest;
  auto mux = guest.Connect();
  ASSERT_TRUE(mux);
  auto stalled = (*mux)->Connect(kStallPort, Soon());
  ASSERT_TRUE(stalled);
  const size_t taken = WriteUntilStuck(stalled->get());
  EXPECT_GE(taken, 256u << 10);
  EXPECT_LE(taken, kStallBound);
  ExpectEcho(**mux, RandomText(2 << 20, 5));
}

TEST(MuxTest, StalledHostStopsOnlyItsOwnStream) {
  Guest guest;
  auto mux = guest.Connect();
  ASSERT_TRUE(mux);
  std::vector<UniqueFd> stalled;
  for (int i = 0; i < 20; ++i)
    stalled.push_back(std::move((*mux)->Connect(kFloodPort, Soon()).value()));
  for (int i = 0; i < 5; ++i) ExpectEcho(**mux, RandomText(2 << 20, 6));
  EXPECT_LE(guest.services().flooded(), stalled.size() * kStallBound);
  // A stalled stream goes on when it is read again.
  EXPECT_TRUE(ReadExactly(stalled[0].get(), 4 << 20));
}

TEST(MuxTest, RefusedPortFailsWithTheReason) {
  Guest guest;
  auto mux = guest.Connect();
  ASSERT_TRUE(mux);
  for (int i = 0; i < 2000; ++i) {
    auto stream = (*mux)->Connect(8080, Soon());
    ASSERT_FALSE(stream);
    ASSERT_EQ(stream.error().code, Code::kUnavailable);
    ASSERT_EQ(stream.error().message, "port 8080 in the guest: nothing listens on port 8080");
  }
  ExpectEcho(**mux, "fine");
}

TEST(MuxTest, StreamsBreakWhenTheGuestStops) {
  Guest guest;
  auto mux = guest.Connect();
  ASSERT_TRUE(mux);
  auto stream = (*mux)->Connect(kEchoPort, Soon());
  ASSERT_TRUE(stream);
  guest.Stop();
  EXPECT_TRUE(guest.status());
  EXPECT_TRUE(guest.services().WaitNoneOpen());
}

TEST(MuxTest, StreamsBreakWhenTheTransportEnds) {
  Guest guest;
  auto mux = guest.Connect();
  ASSERT_TRUE(mux);
  auto stream = (*mux)->Connect(kEchoPort, Soon());
  ASSERT_TRUE(stream);
  [[maybe_unused]] UniqueFd other = guest.Plug();  // cuts the first host off
  char byte;
  EXPECT_EQ(ReadSome(stream->get(), {&byte, 1}, Soon()).value_or(0), 0u);
  EXPECT_FALSE((*mux)->alive());
  EXPECT_EQ((*mux)->Connect(kEchoPort, Soon()).error().code, Code::kUnavailable);
}

TEST(MuxTest, DestroyingTheMuxBreaksItsStreams) {
  Guest guest;
  auto mux = guest.Connect();
  ASSERT_TRUE(mux);
  auto stream = (*mux)->Connect(kEchoPort, Soon());
  ASSERT_TRUE(stream);
  mux->reset();
  char byte;
  EXPECT_EQ(ReadSome(stream->get(), {&byte, 1}, Soon()).value_or(0), 0u);
}

TEST(MuxTest, NewHostTakesOverASessionWithOpenStreams) {
  Guest guest;
  auto old_mux = guest.Connect();
  ASSERT_TRUE(old_mux);
  auto flood = (*old_mux)->Connect(kFloodPort, Soon());
  auto stalled = (*old_mux)->Connect(kStallPort, Soon());
  ASSERT_TRUE(flood && stalled);
  WriteUntilStuck(stalled->get());
  // To the guest nothing happens but other bytes: as after a restore, or a host that was killed.
  auto mux = guest.Connect();
  ASSERT_TRUE(mux) << mux.error().ToString();
  ExpectEcho(**mux, RandomText(1 << 20, 7));
  EXPECT_TRUE(guest.services().WaitNoneOpen());
}

TEST(MuxTest, SurvivesHostsCutOffAnywhere) {
  Guest guest;
  std::mt19937 random(20261124);
  for (int round = 0; round < 60; ++round) {
    // The hand-shake is some 16.5 KB long; the rest are frames.
    const size_t cut = round % 3 == 0 ? random() % 17'000 : 16'400 + random() % 150'000;
    auto mux = ConnectMux(guest.Plug(cut), Deadline::After(seconds(10)));
    if (!mux) continue;
    auto stream = (*mux)->Connect(kEchoPort, Deadline::After(seconds(10)));
    if (!stream) continue;
    const std::string text = RandomText(200'000, static_cast<uint32_t>(round));
    std::thread writer([&] { [[maybe_unused]] auto sent = WriteAll(stream->get(), text, Soon()); });
    [[maybe_unused]] auto back = ReadToEnd(stream->get());
    writer.join();
    EXPECT_FALSE((*mux)->alive());
  }
  auto mux = guest.Connect();
  ASSERT_TRUE(mux) << mux.error().ToString();
  ExpectEcho(**mux, RandomText(1 << 20, 8));
  EXPECT_TRUE(guest.services().WaitNoneOpen());
}

TEST(MuxTest, GuestSurvivesGarbage) {
  Guest guest;
  std::mt19937 random(1);
  for (uint32_t round = 0; round < 40; ++round) {
    std::string garbage = RandomText(random() % 40'000, round);
    if (round % 2) garbage += FormatHello("0123456789abcdef");
    if (round % 4 == 1) garbage += "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    garbage += RandomText(random() % 1000, round);
    UniqueFd host = guest.Plug();
    ASSERT_TRUE(WriteAll(host.get(), garbage, Soon()));
    if (round % 5) continue;
    auto mux = ConnectMux(std::move(host), Soon());  // behind the garbage, on the same connection
    ASSERT_TRUE(mux) << mux.error().ToString();
    ExpectEcho(**mux, "clean");
  }
}

TEST(MuxTest, HostDropsEverythingBeforeItsOwnAnswer) {
  auto pair = SocketPair();
  UniqueFd stop = std::move(*MakeEventFd());
  Services services;
  std::thread guest([&] {
    std::string stale = RandomText(100'000, 9);
    stale.append(kHelloReply).append("not-your-nonce!!").append(RandomText(5'000, 10));
    EXPECT_TRUE(WriteAll(pair->second.get(), stale, Soon()));
    MuxServerOptions options;
    options.accept = [&](uint16_t port) { return services.Accept(port); };
    options.stop = stop.get();
    EXPECT_TRUE(ServeMux(pair->second.get(), options));
  });
  auto mux = ConnectMux(std::move(pair->first), Soon());
  ASSERT_TRUE(mux) << mux.error().ToString();
  ExpectEcho(**mux, "hello");
  SignalEventFd(stop.get());
  guest.join();
}

TEST(MuxTest, HandshakeEndsAtItsDeadline) {
  auto pair = SocketPair();
  auto mux = ConnectMux(std::move(pair->first), Deadline::After(milliseconds(50)));
  ASSERT_FALSE(mux);
  EXPECT_EQ(mux.error().code, Code::kDeadlineExceeded);
}

TEST(MuxTest, HandshakeIsRepeatedWhenItWasSwallowed) {
  auto pair = SocketPair();
  UniqueFd stop = std::move(*MakeEventFd());
  Services services;
  std::thread guest([&] {
    EXPECT_TRUE(ReadExactly(pair->second.get(), FormatHello("0123456789abcdef").size()));
    MuxServerOptions options;
    options.accept = [&](uint16_t port) { return services.Accept(port); };
    options.stop = stop.get();
    EXPECT_TRUE(ServeMux(pair->second.get(), options));
  });
  auto mux = ConnectMux(std::move(pair->first), Soon());
  ASSERT_TRUE(mux) << mux.error().ToString();
  ExpectEcho(**mux, "hello");
  SignalEventFd(stop.get());
  guest.join();
}

TEST(MuxTest, ConnectEndsAtItsDeadlineAndTheStreamIsGivenUp) {
  auto pair = SocketPair();
  std::thread guest([&] {
    // Answers the hand-shake and nothing more.
    PatternScanner scanner{std::string(kHelloMagic), kHelloNonceBytes};
    for (;;) {
      char buffer[4096];
      const auto got = ReadSome(pair->second.get(), buffer, Soon());
      ASSERT_TRUE(got && *got > 0);
      if (auto nonce = scanner.Feed({buffer, *got})) {
        ASSERT_TRUE(WriteAll(pair->second.get(), std::string(kHelloReply) + *nonce, Soon()));
        break;
      }
    }
    // The host's frames, with the reset at their end: type 3, stream 1, CANCEL.
    const std::string reset("\0\0\4\3\0\0\0\0\1\0\0\0\10", 13);
    PatternScanner find{reset, 0};
    for (;;) {
      char buffer[4096];
      const auto got = ReadSome(pair->second.get(), buffer, Soon());
      ASSERT_TRUE(got && *got > 0);
      if (find.Feed({buffer, *got})) break;
    }
  });
  auto mux = ConnectMux(std::move(pair->first), Soon());
  ASSERT_TRUE(mux) << mux.error().ToString();
  auto stream = (*mux)->Connect(80, Deadline::After(milliseconds(50)));
  ASSERT_FALSE(stream);
  EXPECT_EQ(stream.error().code, Code::kDeadlineExceeded);
  guest.join();
}

TEST(MuxTest, ServerAsksForItsPeerAtEndOfFile) {
  auto pair = SocketPair();
  int asked = 0;
  MuxServerOptions options;
  options.accept = [](uint16_t) -> Result<UniqueFd> { return Fail(Code::kUnavailable, "no"); };
  options.wait_for_peer = [&] { return ++asked < 3; };
  pair->first.Reset();
  EXPECT_TRUE(ServeMux(pair->second.get(), options));
  EXPECT_EQ(asked, 3);
}

TEST(MuxTest, OnlyLocalhostIsAnAuthority) {
  EXPECT_EQ(ParseMuxAuthority("localhost:80").value_or(0), 80);
  EXPECT_EQ(ParseMuxAuthority("localhost:65535").value_or(0), 65535);
  for (const char* bad :
       {"", "localhost", "localhost:", "localhost:0", "localhost:65536", "localhost:80x",
        "localhost:-1", "localhost:+1", "localhost: 80", "10.0.0.1:80", "LOCALHOST:80"}) {
    EXPECT_FALSE(ParseMuxAuthority(bad)) << bad;
  }
}

TEST(MuxHelloTest, TrackerFindsTheHandshakeBehindAnyCut) {
  std::string session(24, 'p');  // stands for the connection preface
  const auto frame = [&](size_t size) {
    session.push_back(static_cast<char>(size >> 16));
    session.push_back(static_cast<char>(size >> 8));
    session.push_back(static_cast<char>(size));
    session.append(6 + size, '\0');
  };
  for (const size_t size : {size_t{0}, size_t{4}, size_t{300}, kMuxMaxFrame}) frame(size);
  const std::string hello = FormatHello("0123456789abcdef");
  for (size_t cut = 0; cut <= session.size(); cut += cut < 400 ? 1 : 37) {
    for (const size_t piece : {size_t{7}, size_t{100'000}}) {
      const std::string stream = session.substr(0, cut) + hello;
      FrameTracker tracker;
      size_t at = 0;
      for (;;) {
        ASSERT_LT(at, stream.size()) << "cut at " << cut;
        const std::string_view part = std::string_view(stream).substr(at, piece);
        const size_t own = tracker.Admit(part);
        at += own;
        if (own < part.size()) break;
      }
      PatternScanner scanner{std::string(kHelloMagic), kHelloNonceBytes};
      EXPECT_EQ(scanner.Feed(std::string_view(stream).substr(at)).value_or(""), "0123456789abcdef");
    }
  }
}

TEST(MuxHelloTest, ScannerFindsAPatternInPieces) {
  const std::string stream = "ababcabcd-nonce-rest";
  for (size_t piece = 1; piece < stream.size(); ++piece) {
    PatternScanner scanner{"abcd", 7};
    std::optional<std::string> found;
    size_t at = 0;
    for (; !found && at < stream.size(); at += piece)
      found = scanner.Feed(std::string_view(stream).substr(at, piece));
    EXPECT_EQ(found.value_or("none"), "-nonce-");
    EXPECT_EQ(scanner.rest() + (at < stream.size() ? stream.substr(at) : ""), "rest");
  }
}

}  // namespace
}  // namespace wrenn::wire
