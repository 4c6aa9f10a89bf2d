#include <gmock/gmock.h>

#include "net/test_slot.h"

namespace wrenn::net {
namespace {

using testing::HasSubstr;
using testing::Not;

class SlotPolicyTest : public SlotTest {
 protected:
  // What a command prints in the slot's namespace.
  std::string InSlot(const std::vector<std::string>& command) {
    std::string text;
    EXPECT_TRUE(slot_->net_namespace().Run([&] {
      text = os::Output(command);
      return Status();
    }));
    return text;
  }
  std::string Queues() { return InSlot({"tc", "qdisc"}); }
};

TEST_F(SlotPolicyTest, NothingGoesThroughBeforeAPolicyIsSet) {
  ExpectDenied(kServer, *server_);
  ExpectDenied(kServer6, *server_);
}

TEST_F(SlotPolicyTest, InternetIsSwitchedOnAndOff) {
  SetInternet();
  for (const char* address : {kServer, kOtherServer, kServer6, kOtherServer6}) {
    EXPECT_EQ(guest_->Try(address), Outcome::kConnected) << address;
    guest_->SendDatagram(address, 80);
    char byte;
    EXPECT_TRUE(Ready(server_->udp(), POLLIN, 2000)) << address;
    EXPECT_EQ(::recv(server_->udp().get(), &byte, 1, 0), 1);
    EXPECT_TRUE(server_->Accept());
  }
  // A port where nobody listens is refused by its host, not by us.
  EXPECT_EQ(guest_->Try(kServer, 81), Outcome::kRefused);
  Set({.internet = false});
  ExpectDenied(kServer, *server_);
  ExpectDenied(kServer6, *server_);
}

TEST_F(SlotPolicyTest, TheServerSeesTheHostsAddress) {
  SetInternet();
  for (const auto& [server, host] : {std::pair{kServer, std::string("::ffff:") + kHost},
                                     std::pair{kServer6, std::string(kHost6)}}) {
    auto [outcome, fd] = Connect(guest_->net(), server, 80);
    ASSERT_EQ(outcome, Outcome::kConnected);
    const UniqueFd accepted = server_->Accept();
    sockaddr_in6 peer{};
    socklen_t size = sizeof peer;
    ASSERT_EQ(::getpeername(accepted.get(), reinterpret_cast<sockaddr*>(&peer), &size), 0);
    EXPECT_EQ(IpAddress::V6(os::NumberFrom<std::array<uint8_t, 16>>(os::BytesOf(peer.sin6_addr)))
                  .ToString(),
              host);
    ASSERT_TRUE(WriteAll(fd.get(), "question", Deadline::After(std::chrono::seconds(5))));
    char bytes[64];
    auto got = ReadSome(accepted.get(), bytes, Deadline::After(std::chrono::seconds(5)));
    ASSERT_TRUE(got);
    EXPECT_EQ(std::string(bytes, *got), "question");
  }
}

TEST_F(SlotPolicyTest, ListsDecideBeforeTheSwitch) {
  Set(Lists(true, {}, {"9.9.9.0/24", "2606:4700::2222"}));
  EXPECT_EQ(guest_->Try(kServer), Outcome::kConnected);
  EXPECT_EQ(guest_->Try(kServer6), Outcome::kConnected);
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(server_->Accept());
  ExpectDenied(kOtherServer, *server_);
  ExpectDenied(kOtherServer6, *server_);

  Set(Lists(false, {"9.9.9.9", "2606:4700::/32"}, {"2606:4700::2222", "9.0.0.0/8"}));
  EXPECT_EQ(guest_->Try(kOtherServer), Outcome::kConnected);
  EXPECT_EQ(guest_->Try(kServer6), Outcome::kConnected);
  EXPECT_EQ(guest_->Try(kOtherServer6), Outcome::kConnected);  // allow comes before deny
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(server_->Accept());
  ExpectDenied(kServer, *server_);
}

TEST_F(SlotPolicyTest, ANewPolicyHoldsForOpenConnections) {
  for (const char* address : {kServer, kServer6}) {
    SetInternet();
    auto [outcome, fd] = Connect(guest_->net(), address, 80);
    ASSERT_EQ(outcome, Outcome::kConnected);
    const UniqueFd accepted = server_->Accept();
    Set(Lists(true, {}, {address}));
    // In neither direction.
    ASSERT_EQ(::send(accepted.get(), "answer", 6, MSG_NOSIGNAL), 6);
    EXPECT_FALSE(Ready(fd, POLLIN, 200));
    ASSERT_EQ(::send(fd.get(), "question", 8, MSG_NOSIGNAL), 8);
    // The guest's end is reset, the server's hears nothing.
    EXPECT_TRUE(Ready(fd, POLLIN, 2000));
    char byte;
    EXPECT_EQ(::recv(fd.get(), &byte, 1, 0), -1);
    EXPECT_EQ(errno, ECONNRESET);
    EXPECT_FALSE(Ready(accepted, POLLIN, 0));
  }
}

TEST_F(SlotPolicyTest, ARefusedPolicyChangesNothing) {
  SetInternet();
  NetworkPolicy broken{.internet = false};
  const auto one = *IpAddress::Parse("1.0.0.0");
  const auto two = *IpAddress::Parse("1.255.255.255");
  broken.deny = {{one, two}, {one, two}, {*IpAddress::Parse("1.1.0.0"), two}};
  broken.internet = true;  // so that the overlapping ranges are given to the kernel
  broken.upload = broken.download = 1'000'000;
  EXPECT_FALSE(slot_->SetPolicy(broken));
  EXPECT_EQ(guest_->Try(kServer), Outcome::kConnected);
  EXPECT_THAT(Queues(), Not(HasSubstr("tbf")));

  Set({.internet = true, .upload = 2'000'000});
  EXPECT_FALSE(slot_->SetPolicy(broken));
  EXPECT_THAT(Queues(), testing::AllOf(HasSubstr("rate 2Mbit"), Not(HasSubstr("rate 1Mbit"))));
}

TEST_F(SlotPolicyTest, ARateThatIsRefusedChangesNothing) {
  if (!os::FindProgram("nft")) GTEST_SKIP() << "needs the program nft (Debian package nftables)";
  Set(Lists(true, {}, {kOtherServer}));
  ASSERT_EQ(InSlot({"ip", "link", "del", kUplinkName}), "");
  NetworkPolicy other = Lists(true, {}, {kServer});
  other.upload = other.download = 1'000'000;
  EXPECT_FALSE(slot_->SetPolicy(other));
  EXPECT_THAT(Queues(), Not(HasSubstr("tbf")));
  EXPECT_THAT(InSlot({"nft", "list", "set", "inet", "wrenn", "deny4"}),
              testing::AllOf(HasSubstr(kOtherServer), Not(HasSubstr(kServer))));
}

TEST_F(SlotPolicyTest, ConnectionsAreLimited) {
  Set({.internet = true, .connections = 5});
  std::vector<UniqueFd> open;
  for (int i = 0; i < 5; ++i) {
    auto [outcome, fd] = Connect(guest_->net(), i % 2 == 0 ? kServer : kServer6, 80);
    EXPECT_EQ(outcome, Outcome::kConnected) << i;
    open.push_back(std::move(fd));
  }
  EXPECT_EQ(guest_->Try(kServer), Outcome::kRefused);
  EXPECT_EQ(guest_->Try(kServer6), Outcome::kRefused);
  // Those that are open go on.
  ASSERT_EQ(::send(open[0].get(), "x", 1, MSG_NOSIGNAL), 1);
  const UniqueFd accepted = server_->Accept();
  EXPECT_TRUE(Ready(accepted, POLLIN, 2000));
  // Other lists do not allow as many again.
  NetworkPolicy other = Lists(true, {}, {kOtherServer});
  other.connections = 5;
  Set(other);
  EXPECT_EQ(guest_->Try(kServer), Outcome::kRefused);
  Set({.internet = true, .connections = 6});
  EXPECT_EQ(guest_->Try(kServer), Outcome::kConnected);
}

TEST_F(SlotPolicyTest, FlowsOfDatagramsAreLimitedToo) {
  Set({.internet = true, .connections = 5});
  for (int i = 0; i < 20; ++i) guest_->SendDatagram(i % 2 == 0 ? kServer : kServer6, 80);
  EXPECT_EQ(guest_->Try("10.0.0.9"), Outcome::kRefused);  // they have been looked at by now
  Set({.internet = true, .connections = 0});
  guest_->SendDatagram(kServer, 80);
  int came = 0;
  char byte;
  while (Ready(server_->udp(), POLLIN, 500) && ::recv(server_->udp().get(), &byte, 1, 0) == 1) {
    ++came;
  }
  EXPECT_EQ(came, 6);
}

// Bytes a second that a connection's sender gets through.
double Throughput(const UniqueFd& sender, const UniqueFd& receiver) {
  const std::string block(64 << 10, 'x');
  std::string buffer(256 << 10, '\0');
  const auto begin = std::chrono::steady_clock::now();
  const auto end = begin + std::chrono::milliseconds(1000);
  size_t received = 0;
  while (std::chrono::steady_clock::now() < end) {
    while (::send(sender.get(), block.data(), block.size(), MSG_NOSIGNAL) > 0) {
    }
    for (ssize_t got = 0; (got = ::recv(receiver.get(), buffer.data(), buffer.size(), 0)) > 0;) {
      received += static_cast<size_t>(got);
    }
    (void)Ready(receiver, POLLIN, 10);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  return static_cast<double>(received) / took.count();
}

TEST_F(SlotPolicyTest, RatesAreLimitedEachWayAndLifted) {
  constexpr double kUpload = 1.25e5;  // bytes a second
  constexpr double kDownload = 2.5e5;
  const auto rate = [this](bool up, const char* server = kServer) {
    const UniqueFd guest_end = Connect(guest_->net(), server, 80).second;
    const UniqueFd server_end = server_->Accept();
    EXPECT_TRUE(guest_end && server_end);
    // What is still to be sent when they are closed is not, or it would take from the next one.
    const linger none{1, 0};
    for (const int end : {guest_end.get(), server_end.get()}) {
      ::setsockopt(end, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    }
    const UniqueFd& from = up ? guest_end : server_end;
    const UniqueFd& to = up ? server_end : guest_end;
    (void)Throughput(from, to);  // until the bucket's and the buffers' first fill is gone
    return Throughput(from, to);
  };
  SetInternet();
  EXPECT_GT(rate(true), 2.5 * kUpload);
  Set({.internet = true, .upload = 1'000'000, .download = 2'000'000});
  EXPECT_THAT(rate(true), testing::AllOf(testing::Gt(0.4 * kUpload), testing::Lt(1.3 * kUpload)));
  EXPECT_THAT(rate(false),
              testing::AllOf(testing::Gt(0.4 * kDownload), testing::Lt(1.3 * kDownload)));
  EXPECT_THAT(rate(true, kServer6),
              testing::AllOf(testing::Gt(0.4 * kUpload), testing::Lt(1.3 * kUpload)));
  EXPECT_THAT(rate(false, kServer6),
              testing::AllOf(testing::Gt(0.4 * kDownload), testing::Lt(1.3 * kDownload)));
  SetInternet();
  EXPECT_GT(rate(true), 2.5 * kUpload);
}

}  // namespace
}  // namespace wrenn::net
