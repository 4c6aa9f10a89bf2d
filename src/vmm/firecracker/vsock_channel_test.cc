#include "vmm/firecracker/vsock_channel.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <optional>
#include <thread>
#include <vector>

#include "os/files.h"
#include "wire/agent_api.h"
#include "wire/sockets.h"

namespace wrenn::vmm {
namespace {

using agent::Lane;
using std::chrono::milliseconds;

Deadline Soon() { return Deadline::After(std::chrono::seconds(30)); }

// Ports of the guest say their number.
Result<UniqueFd> Accept(uint16_t port) {
  ASSIGN_OR_RETURN(auto pair, SocketPair());
  RETURN_IF_ERROR(WriteAll(pair.second.get(), std::to_string(port), Soon()));
  return std::move(pair.first);
}

// The socket of Firecracker's vsock, whose connections each go as the test says.
class Vsock {
 public:
  // What becomes of a connection; after the last of these all are Good().
  using Fate = std::function<void(int connection)>;

  Vsock(const std::string& path, std::vector<Fate> fates) : fates_(std::move(fates)) {
    listener_ = wire::ListenUnix(path).value();
    stop_ = MakeEventFd().value();
    acceptor_ = std::thread([this] { Run(); });
  }
  ~Vsock() {
    SignalEventFd(stop_.get());
    acceptor_.join();
    for (std::thread& thread : threads_) thread.join();
  }

  static std::string Ask(int connection) {
    std::string line;
    for (char byte = 0; byte != '\n'; line.push_back(byte)) {
      const auto got = ReadSome(connection, {&byte, 1}, Soon());
      if (!got || *got == 0) return line;
    }
    return line;
  }
  static void Closed(int connection) { Ask(connection); }
  static void Broken(int connection) {
    Ask(connection);
    (void)WriteAll(connection, "OK 1073741824\n", Soon());
  }
  static void Silent(int connection) {
    char buffer[4096];
    for (;;) {
      const auto got = ReadSome(connection, buffer, Soon());
      if (!got || *got == 0) return;
    }
  }

  int connections() const { return connections_; }

 private:
  void Run() {
    for (;;) {
      pollfd entries[] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
      ::poll(entries, 2, -1);
      if (entries[1].revents) return;
      UniqueFd connection(
          ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      const size_t index = static_cast<size_t>(connections_++);
      threads_.emplace_back([this, index, own = std::move(connection)] {
        if (index < fates_.size()) return fates_[index](own.get());
        Good(own.get());
      });
    }
  }

  void Good(int connection) {
    EXPECT_EQ(Ask(connection), fmt::format("CONNECT {}\n", wire::kAgentPort));
    ASSERT_TRUE(WriteAll(connection, "OK 1073741824\n", Soon()));
    wire::MuxServerOptions options;
    options.accept = Accept;
    options.stop = stop_.get();
    EXPECT_TRUE(wire::ServeMux(connection, options));
  }

  const std::vector<Fate> fates_;
  UniqueFd listener_;
  UniqueFd stop_;
  std::atomic<int> connections_{0};
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

class VsockChannelTest : public testing::Test {
 protected:
  void SetUp() override {
    auto directory = os::TemporaryDirectory::Make();
    ASSERT_TRUE(directory);
    directory_.emplace(std::move(*directory));
    path_ = directory_->path() + "/v.sock";
  }

  static std::string Said(const Result<UniqueFd>& stream) {
    if (!stream) return stream.error().ToString();
    char buffer[16];
    const auto got = ReadSome(stream->get(), buffer, Soon());
    return got ? std::string(buffer, *got) : got.error().message;
  }

  std::optional<os::TemporaryDirectory> directory_;
  std::string path_;
};

TEST_F(VsockChannelTest, ReachesPortsOverAConnectionPerLane) {
  Vsock vsock(path_, {});
  auto channel = MakeVsockChannel(path_);
  ASSERT_TRUE(channel->Open(Soon()));
  EXPECT_EQ(vsock.connections(), 0);
  EXPECT_EQ(Said(channel->Connect(80, Lane::kInteractive, Soon())), "80");
  EXPECT_EQ(Said(channel->Connect(wire::kAgentPort, Lane::kInteractive, Soon())), "49983");
  EXPECT_EQ(vsock.connections(), 1);
  EXPECT_EQ(Said(channel->Connect(81, Lane::kBulk, Soon())), "81");
  EXPECT_EQ(vsock.connections(), 2);
  channel->Close();
  EXPECT_EQ(channel->Connect(80, Lane::kBulk, Soon()).error().code, Code::kUnavailable);
}

TEST_F(VsockChannelTest, TriesUntilTheGuestAnswers) {
  Vsock vsock(path_, {Vsock::Closed, Vsock::Closed, Vsock::Broken, Vsock::Silent, Vsock::Closed});
  auto channel = MakeVsockChannel(path_);
  EXPECT_EQ(Said(channel->Connect(80, Lane::kInteractive, Soon())), "80");
  EXPECT_GE(vsock.connections(), 6);
}

TEST_F(VsockChannelTest, GivesUpAtTheDeadline) {
  Vsock vsock(path_, std::vector<Vsock::Fate>(1000, Vsock::Closed));
  auto channel = MakeVsockChannel(path_);
  const auto late = channel->Connect(80, Lane::kInteractive, Deadline::After(milliseconds(50)));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Code::kDeadlineExceeded);
  EXPECT_EQ(late.error().message, "the guest's agent did not answer in time");
}

TEST_F(VsockChannelTest, CloseEndsTheWaitForAGuest) {
  Vsock vsock(path_, std::vector<Vsock::Fate>(1000, Vsock::Closed));
  auto channel = MakeVsockChannel(path_);
  std::thread waiting([&] {
    const auto stream = channel->Connect(80, Lane::kInteractive, Deadline::Never());
    ASSERT_FALSE(stream);
    EXPECT_EQ(stream.error().code, Code::kUnavailable);
  });
  while (vsock.connections() == 0) std::this_thread::yield();
  channel->Close();
  waiting.join();
}

TEST_F(VsockChannelTest, AMachineThatIsGoneIsSaidAtOnce) {
  auto channel = MakeVsockChannel(path_);
  for (const bool left : {false, true}) {
    if (left) wire::ListenUnix(path_).value();  // closed again; its file stays
    const auto gone = channel->Connect(80, Lane::kInteractive, Soon());
    ASSERT_FALSE(gone);
    EXPECT_EQ(gone.error().code, Code::kUnavailable);
    EXPECT_EQ(gone.error().message.find(path_), std::string::npos);
  }
}

TEST_F(VsockChannelTest, NonsenseIsNotTriedAgain) {
  for (const char* answer : {"HELLO\n", "OK 1 and a line that does not come to an end soon"}) {
    ::unlink(path_.c_str());
    Vsock vsock(path_, std::vector<Vsock::Fate>(1000, [answer](int connection) {
                  Vsock::Ask(connection);
                  (void)WriteAll(connection, answer, Soon());
                  Vsock::Silent(connection);
                }));
    const auto wrong = ConnectVsock(path_, 1, Soon());
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().code, Code::kInternal);
    EXPECT_FALSE(MakeVsockChannel(path_)->Connect(80, Lane::kInteractive, Soon()));
    EXPECT_EQ(vsock.connections(), 2);
  }
}

}  // namespace
}  // namespace wrenn::vmm
