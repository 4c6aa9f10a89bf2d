// How sessions begin: after others that were cut off, among garbage, and not at all.
#include <fcntl.h>

#include <future>

#include "wire/mux_hello.h"
#include "wire/mux_test_guest.h"

namespace wrenn::wire {
namespace {

TEST(MuxHandshakeTest, NewHostTakesOverASessionWithOpenStreams) {
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

TEST(MuxHandshakeTest, SurvivesHostsCutOffAnywhere) {
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

TEST(MuxHandshakeTest, GuestSurvivesGarbage) {
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

TEST(MuxHandshakeTest, HostDropsEverythingBeforeItsOwnAnswer) {
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

TEST(MuxHandshakeTest, HandshakeEndsAtItsDeadline) {
  auto pair = SocketPair();
  auto mux = ConnectMux(std::move(pair->first), Deadline::After(milliseconds(50)));
  ASSERT_FALSE(mux);
  EXPECT_EQ(mux.error().code, Code::kDeadlineExceeded);
}

TEST(MuxHandshakeTest, HandshakeIsRepeatedWhenItWasSwallowed) {
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

// A guest that answers the hand-shake, says `frames` and nothing more, and waits for the reset of
// the first stream.
void ExpectThatAStreamIsGivenUp(std::string_view frames) {
  auto pair = SocketPair();
  std::thread guest([&] {
    PatternScanner scanner{std::string(kHelloMagic), kHelloNonceBytes};
    for (;;) {
      char buffer[4096];
      const auto got = ReadSome(pair->second.get(), buffer, Soon());
      ASSERT_TRUE(got && *got > 0);
      if (auto nonce = scanner.Feed({buffer, *got})) {
        ASSERT_TRUE(WriteAll(pair->second.get(), std::string(kHelloReply) + *nonce, Soon()));
        ASSERT_TRUE(WriteAll(pair->second.get(), frames, Soon()));
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

TEST(MuxHandshakeTest, ConnectEndsAtItsDeadlineAndTheStreamIsGivenUp) {
  ExpectThatAStreamIsGivenUp({});
}

TEST(MuxHandshakeTest, AStreamIsGivenUpThoughTheGuestOpensNoWindow) {
  // SETTINGS (type 4): INITIAL_WINDOW_SIZE (4) is 0, so that the stream's socket is never read.
  ExpectThatAStreamIsGivenUp(std::string_view("\0\0\6\4\0\0\0\0\0\0\4\0\0\0\0", 15));
}

// A port whose host side was closed, as after a restore, and is opened by another host.
TEST(MuxHandshakeTest, ACutTransportEndsItsSessionAtOnce) {
  auto pair = SocketPair();
  const int port = pair->second.get();
  UniqueFd stop = std::move(*MakeEventFd());
  Services services;
  std::promise<UniqueFd> next;
  std::thread guest([&] {
    MuxServerOptions options;
    options.accept = [&](uint16_t number) { return services.Accept(number); };
    options.wait_for_peer = [&] {
      // What the old session held is gone before anybody comes.
      EXPECT_TRUE(services.WaitNoneOpen());
      auto plugged = SocketPair();
      next.set_value(std::move(plugged->first));
      return ::dup3(plugged->second.get(), port, O_CLOEXEC) == port;
    };
    options.stop = stop.get();
    EXPECT_TRUE(ServeMux(port, options));
  });
  auto old_mux = ConnectMux(std::move(pair->first), Soon());
  ASSERT_TRUE(old_mux);
  auto flood = (*old_mux)->Connect(kFloodPort, Soon());
  auto stalled = (*old_mux)->Connect(kStallPort, Soon());
  ASSERT_TRUE(flood && stalled);
  WriteUntilStuck(stalled->get());
  old_mux->reset();
  auto mux = ConnectMux(next.get_future().get(), Soon());
  ASSERT_TRUE(mux) << mux.error().ToString();
  ExpectEcho(**mux, RandomText(100'000, 11));
  SignalEventFd(stop.get());
  guest.join();
}

TEST(MuxHandshakeTest, ServerAsksForItsPeerAtEndOfFile) {
  auto pair = SocketPair();
  int asked = 0;
  MuxServerOptions options;
  options.accept = [](uint16_t) -> Result<UniqueFd> { return Fail(Code::kUnavailable, "no"); };
  options.wait_for_peer = [&] { return ++asked < 3; };
  pair->first.Reset();
  EXPECT_TRUE(ServeMux(pair->second.get(), options));
  EXPECT_EQ(asked, 3);
}

// A packet of no bytes reads as end of file, but is none: so a restored guest sees that its host
// was away while it has the next one's bytes already.
TEST(MuxHandshakeTest, ASessionOutlivesAHostThatIsBackAtOnce) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
  UniqueFd host(ends[0]);
  const UniqueFd port(ends[1]);
  const UniqueFd host_again(::dup(host.get()));
  const auto stop = std::move(*MakeEventFd());
  Services services;
  std::atomic<int> asked = 0;
  MuxServerOptions options;
  options.accept = [&](uint16_t number) { return services.Accept(number); };
  options.peer_is_back = [&] { return ++asked == 1; };
  options.wait_for_peer = [] { return false; };
  options.stop = stop.get();
  std::thread guest([&] { EXPECT_TRUE(ServeMux(port.get(), options)); });

  auto mux = ConnectMux(std::move(host), Soon());
  ASSERT_TRUE(mux) << mux.error().ToString();
  auto stream = (*mux)->Connect(kEchoPort, Soon());
  ASSERT_TRUE(stream) << stream.error().ToString();
  for (const std::string_view text : {"before", "behind"}) {
    ASSERT_TRUE(WriteAll(stream->get(), text, Soon()));
    const auto back = ReadExactly(stream->get(), text.size());
    ASSERT_TRUE(back) << back.error().ToString();
    EXPECT_EQ(*back, text);
    ASSERT_EQ(::send(host_again.get(), "", 0, 0), 0);  // the second time for good
  }
  while (asked < 2) std::this_thread::yield();
  SignalEventFd(stop.get());
  guest.join();
}

}  // namespace
}  // namespace wrenn::wire
