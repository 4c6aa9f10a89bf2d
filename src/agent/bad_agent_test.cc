// The client against an agent that misbehaves.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <vector>

#include "agent/client_fixture.h"
#include "agent/protocol.h"
#include "wire/http_server.h"

namespace wrenn::agent {
namespace {

using std::chrono::milliseconds;

class BadAgent {
 public:
  explicit BadAgent(wire::HttpServer::Handler handler) : server_(std::move(handler)) {
    auto listener = wire::ListenTcp("127.0.0.1", 0).value();
    port_ = wire::LocalPort(listener.get()).value();
    server_.Listen(std::move(listener));
  }
  std::shared_ptr<Channel> channel() const { return MakeTcpChannel("127.0.0.1", port_); }

 private:
  wire::HttpServer server_;
  uint16_t port_ = 0;
};

TEST(BadAgentTest, AnswersThatMakeNoSenseAreInternal) {
  for (const std::string& body :
       {std::string("nonsense"), std::string("[1]"), std::string("{\"entry\":1}"),
        std::string("{}"), std::string(100'000, '[')}) {
    BadAgent agent(
        [&](wire::Exchange& exchange) { (void)exchange.Respond(200, "application/json", body); });
    Client client(agent.channel(), "");
    auto entry = client.Stat("/", {}, Soon());
    ASSERT_FALSE(entry);
    EXPECT_EQ(entry.error().code, Code::kInternal) << body.substr(0, 20);
    EXPECT_FALSE(client.Start({}, {}, milliseconds(0), Soon()));
  }
}

TEST(BadAgentTest, EndlessAnswersAreRefused) {
  BadAgent agent([](wire::Exchange& exchange) {
    auto writer = exchange.StartBody(200, "application/json");
    const std::string chunk(1 << 20, ' ');
    while (writer && (*writer)->Write(chunk, exchange.WriteDeadline())) {
    }
  });
  Client client(agent.channel(), "");
  EXPECT_EQ(client.Stat("/", {}, Soon()).error().code, Code::kInternal);
}

// Many small elements would take many times their length in memory.
TEST(BadAgentTest, ListsAreBounded) {
  std::string body;
  BadAgent agent([&](wire::Exchange& exchange) {
    (void)exchange.body().ReadAll(1 << 20, Soon());
    (void)exchange.Respond(200, "application/json", body);
  });
  Client client(agent.channel(), "");
  const auto list = [&](std::string_view element, size_t count) {
    body = "{\"entries\":[";
    for (size_t i = 0; i < count; ++i) body.append(i ? "," : "").append(element);
    body += "]}";
    return client.ListDir("/", 1, {}, Soon());
  };
  constexpr std::string_view kNamed = R"({"name":"x"})";
  EXPECT_EQ(list(kNamed, kMaxListElements)->size(), kMaxListElements);
  const auto more = list(kNamed, kMaxListElements + 1);
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, Code::kResourceExhausted);
  EXPECT_EQ(more.error().message, "the folder has too many entries: list fewer levels");
  EXPECT_EQ(list("{}", 1).error().code, Code::kInternal);
  EXPECT_EQ(list("1", 1).error().code, Code::kInternal);
  EXPECT_EQ(list("{}", 5'000'000).error().code, Code::kInternal);
  // The text alone is too long.
  const std::string longer = R"({"name":")" + std::string(1 << 20, 'x') + "\"}";
  EXPECT_EQ(list(longer, 17).error().code, Code::kResourceExhausted);
  body = "{\"processes\":[" + longer;
  for (int i = 0; i < 17; ++i) body += "," + longer;
  body += "]}";
  EXPECT_EQ(client.List(Soon()).error().code, Code::kResourceExhausted);
}

TEST(BadAgentTest, StreamsWithoutAnEndAreBroken) {
  BadAgent agent([](wire::Exchange& exchange) {
    (void)exchange.body().ReadAll(1 << 20, Soon());
    auto writer = exchange.StartBody(200, wire::kConnectStreamType);
    const std::string start = wire::FormatEnvelope(0, R"({"event":{"start":{"pid":7}}})");
    if (writer)
      (void)(*writer)->Write(start + wire::FormatEnvelope(0, "{}") + start.substr(0, 9),
                             exchange.WriteDeadline());
    (void)exchange.FinishBody();
  });
  Client client(agent.channel(), "");
  auto started = client.Start({}, {}, milliseconds(0), Soon());
  ASSERT_TRUE(started) << started.error().ToString();
  EXPECT_EQ(started->pid, 7u);
  auto event = started->stream.Next(Soon());
  ASSERT_TRUE(event && *event);
  EXPECT_TRUE(std::holds_alternative<wire::KeepAlive>(**event));
  EXPECT_EQ(started->stream.Next(Soon()).error().code, Code::kUnavailable);
}

// Answers the first request of its first connection and closes it at the second; other connections
// it serves well.
TEST(BadAgentTest, CallsAreRepeatedOnlyWhenThatIsHarmless) {
  for (const bool harmless : {true, false}) {
    std::atomic<int> requests{0};
    BadAgent agent([&](wire::Exchange& exchange) {
      (void)exchange.body().ReadAll(1 << 20, Soon());
      if (++requests == 2) {
        exchange.Upgrade();  // the connection ends with the handler, unanswered
        return;
      }
      (void)exchange.Respond(200, "application/json", "{}");
    });
    Client client(agent.channel(), "");
    ASSERT_TRUE(client.Health(Soon()));
    if (harmless) {
      EXPECT_TRUE(client.Health(Soon()));
      EXPECT_EQ(requests, 3);
    } else {
      auto sent = client.SendInput(uint32_t{1}, {false, "once"}, Soon());
      ASSERT_FALSE(sent);
      EXPECT_EQ(sent.error().code, Code::kUnavailable);
      EXPECT_EQ(requests, 2);
    }
  }
}

TEST(BadAgentTest, ConnectionsAreKept) {
  std::mutex mutex;
  std::vector<int> seen;
  BadAgent agent([&](wire::Exchange& exchange) {
    std::lock_guard lock(mutex);
    seen.push_back(exchange.client_fd());
    (void)exchange.RespondEmpty(204);
  });
  Client client(agent.channel(), "");
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(client.Health(Soon()));
  EXPECT_EQ(std::count(seen.begin(), seen.end(), seen[0]), 5);
}

}  // namespace
}  // namespace wrenn::agent
