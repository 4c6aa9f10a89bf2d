// The client against the real agent, over TCP and over a mux.
#include "agent/client.h"

#include <algorithm>
#include <thread>

#include "agent/client_fixture.h"

namespace wrenn::agent {
namespace {

using std::chrono::milliseconds;

#ifdef WRENN_INIT_PROGRAM

INSTANTIATE_TEST_SUITE_P(Over, ClientTest, testing::Values("tcp", "mux"),
                         [](const auto& over) { return std::string(over.param); });

TEST_P(ClientTest, HealthMetricsAndInit) {
  EXPECT_TRUE(client_->Health(Soon()));
  auto metrics = client_->Metrics(Soon());
  ASSERT_TRUE(metrics) << metrics.error().ToString();
  EXPECT_GT(metrics->mem_total, 0);
  EXPECT_GT(metrics->cpu_count, 0u);

  wire::InitRequest request;
  request.access_token = "another";
  request.env_vars = {{"GREETING", "hello"}};
  auto reply = client_->Init(request, Soon());
  ASSERT_TRUE(reply) << reply.error().ToString();
  EXPECT_EQ(reply->protocol, wire::kAgentProtocol);
  EXPECT_EQ(Run(Shell("echo $GREETING")).out, "hello\n");  // with the new token
  Client old(MakeTcpChannel("127.0.0.1", agent_.port()), "secret");
  EXPECT_EQ(old.List(Soon()).error().code, Code::kUnauthenticated);
}

TEST_P(ClientTest, SyncsTheDisk) {
  const auto reply = client_->Init({}, Soon());
  ASSERT_TRUE(reply) << reply.error().ToString();
  EXPECT_EQ(std::count(reply->features.begin(), reply->features.end(), "sync"), 1);
  const Status synced = client_->Sync(Soon());
  EXPECT_TRUE(synced) << synced.error().ToString();
  Client stranger(MakeTcpChannel("127.0.0.1", agent_.port()), "wrong");
  EXPECT_EQ(stranger.Sync(Soon()).error().code, Code::kUnauthenticated);
}

// Counts the connections that are made through another channel.
class CountingChannel final : public Channel {
 public:
  CountingChannel(uint16_t port, int& count)
      : inner_(MakeTcpChannel("127.0.0.1", port)), count_(count) {}
  Result<UniqueFd> Connect(uint16_t port, Lane lane, Deadline deadline) override {
    ++count_;
    return inner_->Connect(port, lane, deadline);
  }
  void Close() override { inner_->Close(); }

 private:
  std::unique_ptr<Channel> inner_;
  int& count_;
};

TEST_P(ClientTest, TheFirstCallUsesTheConnectionThatWasWaitedFor) {
  int count = 0;
  Client client(std::make_shared<CountingChannel>(agent_.port(), count), "secret");
  ASSERT_TRUE(client.Connect(Soon()));
  ASSERT_TRUE(client.Connect(Soon()));
  EXPECT_TRUE(client.Health(Soon()));
  EXPECT_EQ(count, 1);
}

TEST_P(ClientTest, ManyCallsAtOnce) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 30; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 3; ++round) {
        EXPECT_EQ(Run(Shell(fmt::format("echo {}", i))).out, fmt::format("{}\n", i));
        EXPECT_TRUE(client_->Health(Soon()));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_P(ClientTest, AGuestThatDiesBreaksStreamsAndCalls) {
  auto started = client_->Start(Shell("exec sleep 1000"), {}, milliseconds(0), Soon());
  ASSERT_TRUE(started);
  const pid_t orphan = static_cast<pid_t>(started->pid);
  agent_.Kill();
  auto event = started->stream.Next(Soon());
  ASSERT_FALSE(event);
  EXPECT_EQ(event.error().code, Code::kUnavailable);
  auto health = client_->Health(Soon());
  ASSERT_FALSE(health);
  EXPECT_EQ(health.error().code, Code::kUnavailable);
  ::kill(orphan, SIGKILL);
}

#endif

}  // namespace
}  // namespace wrenn::agent
