#include "net/frame_filter.h"

#include <gtest/gtest.h>

#include "net/frame_relay.h"
#include "net/test_frames.h"

namespace wrenn::net {
namespace {

constexpr Address4 kGuest = 0xc0000002;
constexpr Address4 kGateway = 0xc0000001;

EgressPolicy Policy() { return {kGuest, kGateway, {0x08080404, 0x7f000001}}; }

bool MayReach(const std::string& destination) {
  const std::string frame = TcpSyn("192.0.0.2", destination, 80);
  return MayLeave({reinterpret_cast<const unsigned char*>(frame.data()), frame.size()}, Policy());
}

TEST(FrameFilterTest, AllowsTheInternetAndTheGateway) {
  for (const char* address :
       {"1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1",
        "192.0.1.1", "192.167.1.1", "198.17.0.1", "198.20.0.1", "223.255.255.255", "192.0.0.1"}) {
    EXPECT_TRUE(MayReach(address)) << address;
  }
}

TEST(FrameFilterTest, DeniesHostLoopbackPrivateAndSpecialAddresses) {
  for (const char* address :
       {"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.255",
        "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.3", "192.168.1.1", "198.18.0.1",
        "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "8.8.4.4"}) {
    EXPECT_FALSE(MayReach(address)) << address;
  }
}

TEST(FrameFilterTest, DeniesForeignSourcesOtherProtocolsAndFragmentsOfHeaders) {
  const std::string good = TcpSyn("192.0.0.2", "1.1.1.1", 80);
  const auto may = [](const std::string& frame) {
    return MayLeave({reinterpret_cast<const unsigned char*>(frame.data()), frame.size()}, Policy());
  };
  ASSERT_TRUE(may(good));
  EXPECT_FALSE(may(TcpSyn("192.0.0.3", "1.1.1.1", 80)));
  for (size_t length = 0; length < 34; ++length) EXPECT_FALSE(may(good.substr(0, length)));
  std::string other = good;
  other[12] = '\x86', other[13] = '\xdd';  // IPv6
  EXPECT_FALSE(may(other));
  other[12] = '\x81', other[13] = '\x00';  // VLAN
  EXPECT_FALSE(may(other));
  other = good;
  other[14] = '\x65';  // version 6 in an IPv4 frame
  EXPECT_FALSE(may(other));
  other[14] = '\x44';  // header too short
  EXPECT_FALSE(may(other));
  EXPECT_TRUE(may(ArpQuestion("192.0.0.2", "192.0.0.1")));
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

TEST(FrameScreenTest, AnImpossibleLengthEndsIt) {
  bool good = true;
  EXPECT_EQ(Screen(std::string("\x7f\xff\xff\xff", 4), 4, &good), "");
  EXPECT_FALSE(good);
}

}  // namespace
}  // namespace wrenn::net
