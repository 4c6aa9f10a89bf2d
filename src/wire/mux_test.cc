#include "wire/mux.h"

#include <sys/resource.h>

#include "wire/mux_session.h"
#include "wire/mux_test_guest.h"

namespace wrenn::wire {
namespace {

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
  for (int i = 0; i < 500; ++i) {
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

}  // namespace
}  // namespace wrenn::wire
