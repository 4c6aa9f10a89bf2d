#include "net/frame_filter.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <thread>

#include "base/io.h"
#include "net/frame_relay.h"
#include "net/test_frames.h"

namespace wrenn::net {
namespace {

constexpr Address4 kGuest = 0xc0000002;
constexpr Address4 kGateway = 0xc0000001;

EgressPolicy Policy() { return {kGuest, kGateway, std::vector<Address4>{0x08080404, 0x7f000001}}; }

bool May(const std::string& frame, const EgressPolicy& policy = Policy()) {
  return MayLeave({reinterpret_cast<const unsigned char*>(frame.data()), frame.size()}, policy);
}

bool MayReach(const std::string& destination) { return May(TcpSyn("192.0.0.2", destination, 80)); }

TEST(FrameFilterTest, AllowsTheInternet) {
  for (const char* address : {"1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.15.0.1",
                              "172.32.0.1", "192.0.1.1", "192.167.1.1", "198.17.0.1", "198.20.0.1",
                              "223.255.255.255", "168.63.129.15", "168.63.129.17", "192.0.3.1",
                              "198.51.99.1", "198.51.101.1", "203.0.112.1", "203.0.114.1"}) {
    EXPECT_TRUE(MayReach(address)) << address;
  }
}

TEST(FrameFilterTest, DeniesHostLoopbackPrivateAndSpecialAddresses) {
  for (const char* address :
       {"0.0.0.0",        "0.1.2.3",         "10.0.0.1",        "100.64.0.1",
        "127.0.0.1",      "127.255.255.255", "169.254.169.254", "172.16.0.1",
        "172.31.255.255", "192.0.0.3",       "192.168.1.1",     "198.18.0.1",
        "168.63.129.16",  "192.0.2.1",       "198.51.100.1",    "203.0.113.255",
        "224.0.0.1",      "239.255.255.250", "240.0.0.1",       "255.255.255.255",
        "8.8.4.4"}) {
    EXPECT_FALSE(MayReach(address)) << address;
  }
}

TEST(FrameFilterTest, AllowsOnlyQuestionsToTheGateway) {
  const std::string question = Udp("192.0.0.2", "192.0.0.1", 53, "question");
  EXPECT_TRUE(May(question));
  EXPECT_FALSE(May(Udp("192.0.0.2", "192.0.0.1", 54, "question")));
  EXPECT_FALSE(May(TcpSyn("192.0.0.2", "192.0.0.1", 53)));
  std::string fragment = question;
  fragment[20] = '\x20';  // more of them follow
  EXPECT_FALSE(May(fragment));
  fragment = question;
  fragment[21] = '\x01';  // not the first
  EXPECT_FALSE(May(fragment));
  fragment = question;
  fragment[20] = '\x40';  // may not be cut
  EXPECT_TRUE(May(fragment));
  for (size_t length = 0; length < 38; ++length) EXPECT_FALSE(May(question.substr(0, length)));
  // The port is behind the options.
  std::string options = question;
  options[14] = '\x46';
  EXPECT_FALSE(May(options));
  options.insert(34, std::string("\x01\x01\x01\x00", 4));
  EXPECT_TRUE(May(options));
}

TEST(FrameFilterTest, NothingLeavesWhileTheHostIsUnknown) {
  const EgressPolicy unknown{kGuest, kGateway, {}};
  EXPECT_FALSE(May(TcpSyn("192.0.0.2", "1.1.1.1", 80), unknown));
  EXPECT_FALSE(May(Udp("192.0.0.2", "192.0.0.1", 53, "question"), unknown));
  EXPECT_TRUE(May(ArpQuestion("192.0.0.2", "192.0.0.1"), unknown));
  const auto host = HostAddresses();
  ASSERT_TRUE(host) << host.error().ToString();
  EXPECT_NE(std::ranges::find(*host, Address4{0x7f000001}), host->end());
}

TEST(FrameFilterTest, DeniesForeignSourcesOtherProtocolsAndFragmentsOfHeaders) {
  const std::string good = TcpSyn("192.0.0.2", "1.1.1.1", 80);
  ASSERT_TRUE(May(good));
  EXPECT_FALSE(May(TcpSyn("192.0.0.3", "1.1.1.1", 80)));
  for (size_t length = 0; length < 34; ++length) EXPECT_FALSE(May(good.substr(0, length)));
  std::string other = good;
  other[12] = '\x86', other[13] = '\xdd';  // IPv6
  EXPECT_FALSE(May(other));
  other[12] = '\x81', other[13] = '\x00';  // VLAN
  EXPECT_FALSE(May(other));
  other = good;
  other[14] = '\x65';  // version 6 in an IPv4 frame
  EXPECT_FALSE(May(other));
  other[14] = '\x44';  // header too short
  EXPECT_FALSE(May(other));
  EXPECT_TRUE(May(ArpQuestion("192.0.0.2", "192.0.0.1")));
  EXPECT_FALSE(ParseAddress4("1.2.3"));
  EXPECT_EQ(*ParseAddress4("127.0.0.1"), 0x7f000001u);
}

// Feeds a stream in pieces of `step` bytes and gives what comes through.
std::string Screen(const std::string& stream, size_t step, bool* good = nullptr) {
  auto screen = std::make_unique<FrameScreen>();
  std::string out;
  for (size_t at = 0; at < stream.size();) {
    const std::span<char> space = screen->Space();
    const size_t count = std::min({step, space.size(), stream.size() - at});
    std::copy_n(stream.data() + at, count, space.data());
    at += count;
    const bool fine = screen->Advance(count, Policy());
    if (good) *good = fine;
    if (!fine) break;
    // Sent in two parts, as a full socket would have it.
    for (auto bytes = screen->Pending(); !bytes.empty(); bytes = screen->Pending()) {
      const size_t part = (bytes.size() + 1) / 2;
      out.append(bytes.data(), part);
      screen->Sent(part);
    }
  }
  return out;
}

TEST(FrameScreenTest, DropsWholeFramesHoweverTheyAreCut) {
  const std::string good1 = WithLength(TcpSyn("192.0.0.2", "1.1.1.1", 1));
  const std::string bad = WithLength(TcpSyn("192.0.0.2", "127.0.0.1", 2));
  const std::string good2 = WithLength(TcpSyn("192.0.0.2", "9.9.9.9", 3));
  const std::string big = WithLength(TcpSyn("192.0.0.2", "9.9.9.9", 3) + std::string(60000, 'x'));
  std::string stream;
  std::string expected;
  for (int i = 0; i < 20; ++i) {
    stream += good1 + bad + WithLength("") + big + good2 + bad;
    expected += good1 + big + good2;
  }
  for (const size_t step : {size_t{1}, size_t{3}, size_t{59}, size_t{4096}, stream.size()}) {
    EXPECT_TRUE(Screen(stream, step) == expected) << step;
  }
}

// What a thread has computed so far.
std::chrono::nanoseconds CpuTime(std::thread& thread) {
  clockid_t clock{};
  timespec used{};
  EXPECT_EQ(::pthread_getcpuclockid(thread.native_handle(), &clock), 0);
  EXPECT_EQ(::clock_gettime(clock, &used), 0);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

TEST(FrameRelayTest, WaitsForTheMachineWhenTheNetworkHasEnded) {
  auto machine = SocketPair();
  auto network = SocketPair();
  ASSERT_TRUE(machine);
  ASSERT_TRUE(network);
  Status ended = Fail(Code::kUnknown, "not run");
  std::thread relay([&] {
    ended = RelayFrames(machine->second.get(), network->second.get(), Policy());
    machine->second.Reset();
  });
  // Until nobody takes more: a machine that does not read.
  const std::string bytes(64 << 10, 'x');
  size_t sent = 0;
  for (;;) {
    if (!WaitReady(network->first.get(), POLLOUT,
                   Deadline::After(std::chrono::milliseconds(500)))) {
      break;
    }
    const ssize_t put = ::send(network->first.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (put > 0) sent += static_cast<size_t>(put);
  }
  network->first.Reset();
  // What is measured is idleness, which has no event; as processor time, so that load does not
  // count.
  const auto before = CpuTime(relay);
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  EXPECT_LT(CpuTime(relay) - before, std::chrono::milliseconds(20));

  size_t received = 0;
  std::string buffer(64 << 10, '\0');
  for (;;) {
    const auto got =
        ReadSome(machine->first.get(), buffer, Deadline::After(std::chrono::seconds(20)));
    if (!got || *got == 0) break;
    received += *got;
  }
  relay.join();
  EXPECT_TRUE(ended);
  EXPECT_EQ(received, sent);
}

TEST(FrameScreenTest, AnImpossibleLengthEndsIt) {
  bool good = true;
  EXPECT_EQ(Screen(std::string("\x7f\xff\xff\xff", 4), 4, &good), "");
  EXPECT_FALSE(good);
}

}  // namespace
}  // namespace wrenn::net
