#include "net/user_network.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/io.h"
#include "net/frame_filter.h"
#include "net/slot_plan.h"
#include "net/test_frames.h"

namespace wrenn::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A socket of the host's that listens on all its addresses.
struct Listener {
  explicit Listener(int type) : fd(::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    socklen_t size = sizeof any;
    auto* address = reinterpret_cast<sockaddr*>(&any);
    EXPECT_EQ(::bind(fd.get(), address, size), 0);
    if (type == SOCK_STREAM) {
      EXPECT_EQ(::listen(fd.get(), 50), 0);
    }
    EXPECT_EQ(::getsockname(fd.get(), address, &size), 0);
    port = ntohs(any.sin_port);
  }
  bool Reached() const {
    return WaitReady(fd.get(), POLLIN, Deadline::After(milliseconds(0))).has_value();
  }
  UniqueFd fd;
  uint16_t port = 0;
};

class UserNetworkTest : public testing::Test {
 protected:
  void SetUp() override {
    if (auto usable = CheckUserNetwork(); !usable) GTEST_SKIP() << usable.error().message;
    auto network = StartUserNetwork(2);
    ASSERT_TRUE(network) << network.error().ToString();
    network_ = std::move(*network);
  }

  void Send(const std::string& frame) {
    ASSERT_TRUE(WriteAll(network_.socket.get(), WithLength(frame), Deadline::After(seconds(10))));
  }

  // The next frame from the network.
  Result<std::string> Receive() {
    std::string frame;
    ASSIGN_OR_RETURN(const std::string length, ReadExactly(4));
    return ReadExactly(static_cast<unsigned char>(length[2]) * 256u +
                       static_cast<unsigned char>(length[3]));
  }

  Result<std::string> ReadExactly(size_t count) {
    std::string bytes(count, '\0');
    for (size_t done = 0; done < count;) {
      ASSIGN_OR_RETURN(const size_t got,
                       ReadSome(network_.socket.get(), {bytes.data() + done, count - done},
                                Deadline::After(seconds(10))));
      if (got == 0) return Fail(Code::kUnavailable, "the network ended");
      done += got;
    }
    return bytes;
  }

  UserNetwork network_;
};

TEST_F(UserNetworkTest, DoesNotReachTheHostByAnyAddress) {
  Listener tcp(SOCK_STREAM);
  Listener udp(SOCK_DGRAM);
  std::vector<std::string> addresses = {"127.0.0.1",  "127.9.9.9",       "0.0.0.0",
                                        kSlotGateway, kSlotGuestAddress, "255.255.255.255"};
  const auto host = HostAddresses();
  ASSERT_TRUE(host) << host.error().ToString();
  for (const Address4 own : *host) {
    in_addr number{htonl(own)};
    char text[INET_ADDRSTRLEN];
    addresses.emplace_back(::inet_ntop(AF_INET, &number, text, sizeof text));
  }
  uint16_t port = 42000;
  for (const std::string& address : addresses) {
    Send(TcpSyn(kSlotGuestAddress, address, tcp.port, port++));
    Send(Udp(kSlotGuestAddress, address, udp.port, "hello"));
  }
  // Frames are handled in order: once this question is answered, all before it have been.
  Send(ArpQuestion(kSlotGuestAddress, kSlotGateway));
  for (;;) {
    auto frame = Receive();
    ASSERT_TRUE(frame) << frame.error().ToString();
    if (frame->substr(12, 2) == std::string("\x08\x06", 2)) break;
  }
  EXPECT_FALSE(tcp.Reached());
  EXPECT_FALSE(udp.Reached());
}

TEST_F(UserNetworkTest, EndsWithTheMachine) {
  Send(ArpQuestion(kSlotGuestAddress, kSlotGateway));
  ASSERT_TRUE(Receive());
  network_.socket.Reset();
  for (os::Process& process : network_.processes) {
    auto ended = process.Wait(Deadline::After(seconds(10)));
    EXPECT_TRUE(ended) << ended.error().ToString();
  }
}

TEST(PasstCommandLineTest, KeepsTheHostAway) {
  const auto argv = PasstCommandLine(3);
  EXPECT_NE(std::ranges::find(argv, "--no-map-gw"), argv.end());
  EXPECT_NE(std::ranges::find(argv, "--ipv4-only"), argv.end());
  const auto ports = std::ranges::find(argv, "--tcp-ports");
  ASSERT_NE(ports, argv.end());
  EXPECT_EQ(*(ports + 1), "none");
}

}  // namespace
}  // namespace wrenn::net
