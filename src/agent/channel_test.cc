#include "agent/channel.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <list>
#include <thread>

#include "wire/agent_api.h"
#include "wire/sockets.h"

namespace wrenn::agent {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Deadline Soon() { return Deadline::After(seconds(60)); }

// A guest behind the unix socket of a virtio-serial port: like QEMU it takes one connection at a
// time.
class Port {
 public:
  explicit Port(std::string path) : path_(std::move(path)) {
    listener_ = wire::ListenUnix(path_).value();
    stop_ = MakeEventFd().value();
    thread_ = std::thread([this] { Run(); });
  }
  ~Port() { Stop(); }

  // The machine ends.
  void Stop() {
    SignalEventFd(stop_.get());
    if (thread_.joinable()) thread_.join();
    listener_.Reset();
    ::unlink(path_.c_str());
  }
  // The guest takes no connections until Open() is called.
  void Hold() { held_ = true; }
  void Release() { held_ = false; }
  // Breaks the connection in use.
  void Cut() {
    std::lock_guard lock(mutex_);
    ::shutdown(transport_.get(), SHUT_RDWR);
  }
  const std::string& path() const { return path_; }
  int sessions() const { return sessions_; }

 private:
  void Run() {
    for (;;) {
      pollfd entries[2] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
      ::poll(entries, 2, -1);
      if (entries[1].revents) return;
      UniqueFd accepted(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!accepted) continue;
      const int fd = accepted.get();
      {
        std::lock_guard lock(mutex_);
        transport_ = std::move(accepted);
      }
      ++sessions_;
      while (held_) {
        pollfd stop{stop_.get(), POLLIN, 0};
        if (::poll(&stop, 1, 5) > 0) return;
      }
      wire::MuxServerOptions options;
      options.accept = [this](uint16_t port) { return Accept(port); };
      options.wait_for_peer = [] { return false; };
      options.stop = stop_.get();
      EXPECT_TRUE(wire::ServeMux(fd, options));
    }
  }

  // Every port but one says its number and then echoes.
  Result<UniqueFd> Accept(uint16_t port) {
    if (port == 81) return Fail(Code::kUnavailable, "connection refused");
    ASSIGN_OR_RETURN(auto pair, SocketPair());
    std::thread([port, fd = std::move(pair.second)] {
      (void)WriteAll(fd.get(), fmt::format("{}\n", port), Soon());
      char buffer[4096];
      for (;;) {
        auto got = ReadSome(fd.get(), buffer, Deadline::Never());
        if (!got || *got == 0 || !WriteAll(fd.get(), {buffer, *got}, Deadline::Never())) return;
      }
    }).detach();
    return std::move(pair.first);
  }

  const std::string path_;
  UniqueFd listener_, stop_;
  std::mutex mutex_;
  UniqueFd transport_;
  std::atomic<bool> held_{false};
  std::atomic<int> sessions_{0};
  std::thread thread_;
};

class MuxChannelTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/wrenn-channel-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string Path(const char* name) const { return directory_ + "/" + name; }

  std::string directory_;
};

std::string FirstLine(int fd) {
  std::string line;
  char byte;
  while (!line.ends_with('\n')) {
    auto got = ReadSome(fd, {&byte, 1}, Soon());
    if (!got || *got == 0) return "ended after '" + line + "'";
    line.push_back(byte);
  }
  return line;
}

void ExpectPort(Channel& channel, uint16_t port, Lane lane = Lane::kInteractive) {
  auto fd = channel.Connect(port, lane, Soon());
  ASSERT_TRUE(fd) << fd.error().ToString();
  EXPECT_EQ(FirstLine(fd->get()), fmt::format("{}\n", port));
}

TEST_F(MuxChannelTest, LanesHaveSessionsOfTheirOwn) {
  Port interactive(Path("i")), bulk(Path("b"));
  auto channel = MakeMuxChannel(interactive.path(), bulk.path());
  EXPECT_EQ(interactive.sessions() + bulk.sessions(), 0);  // none before its first use
  ExpectPort(*channel, 80);
  EXPECT_EQ(bulk.sessions(), 0);
  ExpectPort(*channel, 80, Lane::kBulk);
  ExpectPort(*channel, wire::kAgentPort);
  EXPECT_EQ(interactive.sessions(), 1);
  EXPECT_EQ(bulk.sessions(), 1);
}

TEST_F(MuxChannelTest, OneSocketCanServeBothLanes) {
  Port port(Path("p"));
  auto channel = MakeMuxChannel(port.path(), port.path());
  ExpectPort(*channel, 80);
  ExpectPort(*channel, 80, Lane::kBulk);
  EXPECT_EQ(port.sessions(), 1);
}

TEST_F(MuxChannelTest, RefusedPortIsUnavailable) {
  Port port(Path("p"));
  auto channel = MakeMuxChannel(port.path(), port.path());
  auto fd = channel->Connect(81, Lane::kInteractive, Soon());
  ASSERT_FALSE(fd);
  EXPECT_EQ(fd.error().code, Code::kUnavailable);
  EXPECT_EQ(fd.error().message, "port 81 in the guest: connection refused");
}

TEST_F(MuxChannelTest, ManyThreadsMakeOneSession) {
  Port port(Path("p"));
  port.Hold();
  auto channel = MakeMuxChannel(port.path(), port.path());
  std::list<std::thread> threads;
  for (uint16_t i = 1; i <= 40; ++i)
    threads.emplace_back([&, i] { ExpectPort(*channel, 1000 + i); });
  // One more whose time is up before the guest answers.
  auto late = channel->Connect(80, Lane::kInteractive, Deadline::After(milliseconds(50)));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Code::kDeadlineExceeded);
  port.Release();
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(port.sessions(), 2);  // two when the late one was first and gave up
}

TEST_F(MuxChannelTest, DeadSessionIsMadeAnew) {
  Port port(Path("p"));
  auto channel = MakeMuxChannel(port.path(), port.path());
  for (int i = 1; i <= 20; ++i) {
    auto fd = channel->Connect(80, Lane::kInteractive, Soon());
    ASSERT_TRUE(fd) << fd.error().ToString();
    EXPECT_EQ(FirstLine(fd->get()), "80\n");
    EXPECT_EQ(port.sessions(), i);
    port.Cut();
    char byte;
    EXPECT_EQ(ReadSome(fd->get(), {&byte, 1}, Soon()).value_or(0), 0u);
  }
}

TEST_F(MuxChannelTest, MissingMachineIsUnavailable) {
  auto channel = MakeMuxChannel(Path("none"), Path("none"));
  auto fd = channel->Connect(80, Lane::kInteractive, Soon());
  ASSERT_FALSE(fd);
  EXPECT_EQ(fd.error().code, Code::kUnavailable);
  // Its users are told in their words, the log in the host's.
  EXPECT_EQ(fd.error().message.find("none"), std::string::npos) << fd.error().message;
  EXPECT_NE(fd.error().detail.find(Path("none")), std::string::npos) << fd.error().detail;
}

TEST_F(MuxChannelTest, AThreadThatCannotBeMadeIsAnError) {
  Port port(Path("p"));
  auto channel = MakeMuxChannel(port.path(), port.path());
  pthread_attr_t before;
  ASSERT_EQ(::pthread_getattr_default_np(&before), 0);
  pthread_attr_t huge = before;
  ASSERT_EQ(::pthread_attr_setstacksize(&huge, size_t{1} << 47), 0);
  ASSERT_EQ(::pthread_setattr_default_np(&huge), 0);
  auto fd = channel->Connect(80, Lane::kInteractive, Soon());
  ASSERT_EQ(::pthread_setattr_default_np(&before), 0);
  ASSERT_FALSE(fd);
  EXPECT_EQ(fd.error().code, Code::kUnavailable);
  EXPECT_NE(fd.error().message.find("too many threads"), std::string::npos);
  ExpectPort(*channel, 80);  // and the lane is free again
}

TEST_F(MuxChannelTest, CloseBreaksStreamsAndRefusesNewOnes) {
  Port port(Path("p"));
  auto channel = MakeMuxChannel(port.path(), port.path());
  auto fd = channel->Connect(80, Lane::kInteractive, Soon());
  ASSERT_TRUE(fd);
  EXPECT_EQ(FirstLine(fd->get()), "80\n");
  channel->Close();
  char byte;
  EXPECT_EQ(ReadSome(fd->get(), {&byte, 1}, Soon()).value_or(0), 0u);
  EXPECT_EQ(channel->Connect(80, Lane::kInteractive, Soon()).error().code, Code::kUnavailable);
}

TEST_F(MuxChannelTest, CloseEndsTheWaitForAGuest) {
  Port port(Path("p"));
  port.Hold();
  auto channel = MakeMuxChannel(port.path(), port.path());
  std::list<std::thread> threads;
  for (int i = 0; i < 5; ++i) {
    threads.emplace_back([&] {
      auto fd = channel->Connect(80, Lane::kInteractive, Deadline::Never());
      ASSERT_FALSE(fd);
      EXPECT_EQ(fd.error().code, Code::kUnavailable);
    });
  }
  while (port.sessions() == 0) std::this_thread::yield();
  channel->Close();
  for (std::thread& thread : threads) thread.join();
}

TEST(TcpChannelTest, ConnectsToTheAgentAndToPorts) {
  auto agent = wire::ListenTcp("127.0.0.1", 0).value();
  auto service = wire::ListenTcp("127.0.0.1", 0).value();
  const uint16_t agent_port = wire::LocalPort(agent.get()).value();
  const uint16_t service_port = wire::LocalPort(service.get()).value();
  auto channel = MakeTcpChannel("127.0.0.1", agent_port);
  EXPECT_TRUE(channel->Connect(wire::kAgentPort, Lane::kBulk, Soon()));
  EXPECT_TRUE(channel->Connect(service_port, Lane::kInteractive, Soon()));
  service.Reset();
  auto refused = channel->Connect(service_port, Lane::kInteractive, Soon());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kUnavailable);
  channel->Close();
  EXPECT_EQ(channel->Connect(wire::kAgentPort, Lane::kBulk, Soon()).error().code,
            Code::kUnavailable);
}

}  // namespace
}  // namespace wrenn::agent
