#include "wire/http_server.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <stdexcept>
#include <thread>

#include "wire/http_client.h"
#include "wire/sockets.h"

namespace wrenn::wire {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Deadline Soon() { return Deadline::After(seconds(60)); }

// What the server of these tests does, by path.
void Handle(Exchange& exchange) {
  const std::string_view path = exchange.request().path();
  if (path == "/echo") {
    auto body = exchange.body().ReadAll(1 << 20, Soon());
    if (!body) {
      const bool large = body.error().code == Code::kOutOfRange;
      (void)exchange.Respond(large ? 413 : 400, "text/plain", body.error().message);
      return;
    }
    (void)exchange.Respond(200, "text/plain", *body);
  } else if (path == "/refuse") {
    (void)exchange.Respond(403, "text/plain", "no");
  } else if (path == "/stream") {
    auto writer = exchange.StartBody(200, "text/plain");
    if (!writer) return;
    for (int i = 0; i < 3; ++i) (void)(*writer)->Write("piece", exchange.WriteDeadline());
    (void)exchange.FinishBody();
  } else if (path == "/broken") {
    auto writer = exchange.StartBody(200, "text/plain");
    if (writer) (void)(*writer)->Write("half", exchange.WriteDeadline());
  } else if (path == "/throw") {
    throw std::runtime_error("handler");
  } else if (path == "/throw-late") {
    (void)exchange.Respond(200, "text/plain", "sent");
    throw 42;
  } else if (path == "/silent") {
    return;
  } else if (path == "/flood") {
    auto writer = exchange.StartBody(200, "text/plain");
    const std::string chunk(64 << 10, 'f');
    while (writer && (*writer)->Write(chunk, exchange.WriteDeadline())) {
    }
  } else if (path == "/wait-gone") {
    // Until the client closes.
    (void)WaitReady(exchange.client_fd(), POLLRDHUP, Soon());
    if (exchange.ClientGone()) (void)exchange.Respond(200, "text/plain", "late");
  } else {
    (void)exchange.RespondEmpty(204);
  }
}

class HttpServerTest : public testing::Test {
 protected:
  void Start(HttpServer::Options options) {
    server_ = std::make_unique<HttpServer>(
        [this](Exchange& exchange) {
          ++entered_;
          Handle(exchange);
          ++left_;
        },
        options);
    auto listener = ListenTcp("127.0.0.1", 0);
    ASSERT_TRUE(listener);
    port_ = LocalPort(listener->get()).value();
    server_->Listen(std::move(*listener));
  }
  void SetUp() override { Start({}); }

  UniqueFd Dial() { return ConnectTcp("127.0.0.1", port_, Soon()).value(); }

  // Sends bytes and reads until the server closes.
  std::string Talk(std::string_view bytes) {
    UniqueFd fd = Dial();
    EXPECT_TRUE(WriteAll(fd.get(), bytes, Soon()));
    return ReadToEnd(fd.get());
  }
  static std::string ReadToEnd(int fd) {
    std::string text;
    char buffer[4096];
    for (;;) {
      auto got = ReadSome(fd, buffer, Soon());
      if (!got) return text + "<" + got.error().message + ">";
      if (*got == 0) return text;
      text.append(buffer, *got);
    }
  }

  uint16_t port_ = 0;
  std::atomic<int> entered_{0}, left_{0};
  std::unique_ptr<HttpServer> server_;
};

size_t CountOf(std::string_view text, std::string_view what) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(what, at)) != text.npos; at += what.size()) ++count;
  return count;
}

TEST_F(HttpServerTest, KeepsConnectionsAlive) {
  HttpClient client(Dial());
  for (int i = 0; i < 100; ++i) {
    const std::string body(static_cast<size_t>(i * 1000), 'b');
    ASSERT_TRUE(client.Send({"POST", "/echo", 1, {}}, body, Soon()));
    EXPECT_EQ(client.response().status, 200);
    EXPECT_EQ(client.body().ReadAll(1 << 20, Soon()).value_or("broken"), body);
    ASSERT_TRUE(client.Reusable());
  }
}

TEST_F(HttpServerTest, TakesChunkedRequestsAndGivesChunkedAnswers) {
  HttpClient client(Dial());
  auto writer = client.StartRequest({"POST", "/echo", 1, {}}, std::nullopt, Soon());
  ASSERT_TRUE(writer);
  ASSERT_TRUE(writer->Write("hello ", Soon()));
  ASSERT_TRUE(writer->Write("you", Soon()));
  ASSERT_TRUE(writer->Finish(Soon()));
  ASSERT_TRUE(client.ReadHead(Soon()));
  EXPECT_EQ(client.body().ReadAll(100, Soon()).value_or("broken"), "hello you");
  ASSERT_TRUE(client.Send({"GET", "/stream", 1, {}}, "", Soon()));
  EXPECT_EQ(client.body().length().kind, BodyLength::Kind::kChunked);
  EXPECT_EQ(client.body().ReadAll(100, Soon()).value_or("broken"), "piecepiecepiece");
  EXPECT_TRUE(client.Reusable());
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  std::string requests;
  for (int i = 0; i < 20; ++i) {
    requests +=
        fmt::format("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nbody{:02}", i);
    requests += "\r\n";  // an empty line before a request is allowed
  }
  requests += "GET /stream HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
  const std::string answers = Talk(requests);
  size_t at = 0;
  for (int i = 0; i < 20; ++i) {
    at = answers.find(fmt::format("body{:02}", i), at);
    ASSERT_NE(at, std::string::npos) << i;
  }
  EXPECT_NE(answers.find("5\r\npiece\r\n0\r\n\r\n", at), std::string::npos);
}

TEST_F(HttpServerTest, AsksForABodyOnlyWhenItIsWanted) {
  UniqueFd fd = Dial();
  const std::string head =
      "HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
  ASSERT_TRUE(WriteAll(fd.get(), "POST /echo " + head, Soon()));
  ByteStream stream(std::move(fd));
  EXPECT_EQ(stream.ReadThrough("\r\n\r\n", 1000, Soon()).value_or(""),
            "HTTP/1.1 100 Continue\r\n\r\n");
  ASSERT_TRUE(stream.Write("ok", Soon()));
  EXPECT_TRUE(
      stream.ReadThrough("\r\n\r\n", 1000, Soon()).value_or("").starts_with("HTTP/1.1 200"));

  const std::string refused = Talk("POST /refuse " + head);
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 403"));
  EXPECT_NE(refused.find("Connection: close"), std::string::npos);
}

TEST_F(HttpServerTest, SpeaksHttp10) {
  const std::string answer = Talk("GET /stream HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(answer.ends_with("\r\n\r\npiecepiecepiece")) << answer;
  EXPECT_EQ(answer.find("chunked"), std::string::npos);
  EXPECT_NE(answer.find("Connection: close"), std::string::npos);
  // A body that breaks does not look like one that has ended.
  EXPECT_TRUE(Talk("GET /broken HTTP/1.0\r\n\r\n").ends_with(">"));
}

TEST_F(HttpServerTest, AnswersToHeadHaveNoBody) {
  HttpClient client(Dial());
  for (const char* path : {"/stream", "/refuse", "/echo"}) {
    ASSERT_TRUE(client.Send({"HEAD", path, 1, {}}, "", Soon()));
    EXPECT_TRUE(client.Reusable()) << path;
  }
  ASSERT_TRUE(client.Send({"GET", "/refuse", 1, {}}, "", Soon()));
  EXPECT_EQ(client.body().ReadAll(10, Soon()).value_or(""), "no");
}

TEST_F(HttpServerTest, BrokenBodyIsNotTakenForAWholeOne) {
  HttpClient client(Dial());
  ASSERT_TRUE(client.Send({"GET", "/broken", 1, {}}, "", Soon()));
  EXPECT_EQ(client.body().ReadAll(100, Soon()).error().code, Code::kUnavailable);
}

TEST_F(HttpServerTest, HandlersThatFailAreAnswered) {
  EXPECT_TRUE(Talk("GET /throw HTTP/1.1\r\nHost: h\r\n\r\n").starts_with("HTTP/1.1 500"));
  EXPECT_TRUE(Talk("GET /silent HTTP/1.1\r\nHost: h\r\n\r\n").starts_with("HTTP/1.1 500"));
  const std::string late = Talk("GET /throw-late HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(late.starts_with("HTTP/1.1 200"));
  EXPECT_EQ(CountOf(late, "HTTP/1.1"), 1u);
}

TEST_F(HttpServerTest, RefusesMalformedRequests) {
  for (const std::string& bad :
       {std::string(4, '\0') + "\r\n\r\n", std::string("GET / HTTP/9.9\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\n\r\n"),
        std::string("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n")}) {
    EXPECT_TRUE(Talk(bad).starts_with("HTTP/1.1 400")) << bad;
  }
  const std::string large = "GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(200'000, 'x');
  EXPECT_TRUE(Talk(large + "\r\n\r\n").starts_with("HTTP/1.1 431"));
  EXPECT_EQ(entered_, 0);
}

TEST_F(HttpServerTest, SmuggledRequestsAreNeverServed) {
  const std::string evil = "GET /evil HTTP/1.1\r\nHost: h\r\n\r\n";
  const std::string post = "POST /echo HTTP/1.1\r\nHost: h\r\n";
  const std::string chunked = post + "Transfer-Encoding: chunked\r\n\r\n";
  for (const std::string& request : {
           post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + evil,
           post + "Content-Length: 0\r\nContent-Length: 5\r\n\r\n" + evil,
           post + "Transfer-Encoding: xchunked\r\n\r\n" + evil,
           post + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + evil,
           chunked + "zz\r\n0\r\n\r\n" + evil,         // a bad size, then what looks like the end
           chunked + "2\r\nabcd\r\n0\r\n\r\n" + evil,  // a chunk longer than it says
           chunked + "5;a\nb\r\nhello\r\n0\r\n\r\n" + evil,
       }) {
    const std::string answer = Talk(request);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 400")) << request << answer;
    EXPECT_EQ(CountOf(answer, "HTTP/1.1"), 1u) << request << answer;
  }
}

TEST_F(HttpServerTest, CutBodiesReachTheHandlerAsErrors) {
  UniqueFd fd = Dial();
  ASSERT_TRUE(WriteAll(fd.get(), "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhalf",
                       Soon()));
  ::shutdown(fd.get(), SHUT_WR);
  EXPECT_TRUE(ReadToEnd(fd.get()).starts_with("HTTP/1.1 400"));
}

TEST_F(HttpServerTest, AnAnswerBeforeTheBodysEndArrives) {
  // The client writes everything before it reads: it must not lose the answer to a reset.
  HttpClient client(Dial());
  ASSERT_TRUE(client.Send({"POST", "/echo", 1, {}}, std::string(8 << 20, 'x'), Soon()));
  EXPECT_EQ(client.response().status, 413);
  // A small rest is thrown away, and the connection goes on.
  HttpClient again(Dial());
  ASSERT_TRUE(again.Send({"POST", "/refuse", 1, {}}, std::string(100'000, 'x'), Soon()));
  EXPECT_EQ(again.body().ReadAll(10, Soon()).value_or(""), "no");
  ASSERT_TRUE(again.Send({"GET", "/", 1, {}}, "", Soon()));
  EXPECT_EQ(again.response().status, 204);
}

TEST_F(HttpServerTest, SlowHeadsEndAtTheirLimit) {
  server_->Stop();
  HttpServer::Options options;
  options.head_limit = Deadline::Duration(100);
  options.idle_limit = Deadline::Duration(100);
  Start(options);
  EXPECT_EQ(Talk("GET / HT"), "");
  EXPECT_EQ(Talk(""), "");  // and idle ones at theirs
}

TEST_F(HttpServerTest, ClientThatTakesNothingEndsAtTheWriteLimit) {
  server_->Stop();
  HttpServer::Options options;
  options.write_limit = Deadline::Duration(100);
  Start(options);
  UniqueFd fd = Dial();
  ASSERT_TRUE(WriteAll(fd.get(), "GET /flood HTTP/1.1\r\nHost: h\r\n\r\n", Soon()));
  for (const Deadline end = Soon(); left_ == 0 && !end.HasPassed();) std::this_thread::yield();
  EXPECT_EQ(left_, 1);
}

TEST_F(HttpServerTest, ClientThatHasGoneIsNoticed) {
  UniqueFd fd = Dial();
  ASSERT_TRUE(WriteAll(fd.get(), "GET /wait-gone HTTP/1.1\r\nHost: h\r\n\r\n", Soon()));
  fd.Reset();
  for (const Deadline end = Soon(); left_ == 0 && !end.HasPassed();) std::this_thread::yield();
  EXPECT_EQ(left_, 1);
  EXPECT_EQ(Talk("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").substr(0, 12),
            "HTTP/1.1 204");
}

TEST_F(HttpServerTest, OneConnectionTooManyIsToldSo) {
  server_->Stop();
  HttpServer::Options options;
  options.max_connections = 3;
  Start(options);
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<HttpClient>(Dial()));
    ASSERT_TRUE(clients.back()->Send({"GET", "/", 1, {}}, "", Soon()));
  }
  EXPECT_TRUE(Talk("").starts_with("HTTP/1.1 503"));
  clients.pop_back();
  // As soon as the server has seen the end of one, another is served.
  std::string answer;
  for (const Deadline end = Soon(); !answer.starts_with("HTTP/1.1 204") && !end.HasPassed();) {
    answer = Talk("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  }
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 204")) << answer;
}

TEST_F(HttpServerTest, StopEndsOpenConnections) {
  UniqueFd idle = Dial();
  HttpClient kept(Dial());
  ASSERT_TRUE(kept.Send({"GET", "/", 1, {}}, "", Soon()));
  UniqueFd half = Dial();
  ASSERT_TRUE(WriteAll(half.get(), "GET / HTTP/1.1\r\nHo", Soon()));
  UniqueFd flooded = Dial();
  ASSERT_TRUE(WriteAll(flooded.get(), "GET /flood HTTP/1.1\r\nHost: h\r\n\r\n", Soon()));
  UniqueFd waiting = Dial();
  ASSERT_TRUE(WriteAll(waiting.get(), "GET /wait-gone HTTP/1.1\r\nHost: h\r\n\r\n", Soon()));
  for (const Deadline end = Soon(); entered_ < 3 && !end.HasPassed();) std::this_thread::yield();
  server_->Stop();
  EXPECT_EQ(left_, 3);
  server_->Stop();  // harmless
  EXPECT_FALSE(ConnectTcp("127.0.0.1", port_, Soon()));
}

TEST_F(HttpServerTest, ServesSocketsThatItIsGiven) {
  auto pair = SocketPair();
  server_->Serve(std::move(pair->first));
  HttpClient client(std::move(pair->second));
  ASSERT_TRUE(client.Send({"POST", "/echo", 1, {}}, "direct", Soon()));
  EXPECT_EQ(client.body().ReadAll(10, Soon()).value_or(""), "direct");
}

TEST_F(HttpServerTest, ManyClientsAtOnce) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 50; ++i) {
    threads.emplace_back([&, i] {
      HttpClient client(Dial());
      for (int round = 0; round < 20; ++round) {
        const std::string body = fmt::format("{}/{}", i, round);
        ASSERT_TRUE(client.Send({"POST", "/echo", 1, {}}, body, Soon()));
        ASSERT_EQ(client.body().ReadAll(100, Soon()).value_or(""), body);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(HttpServerTest, CurlIsServed) {
  if (::system("command -v curl >/dev/null") != 0) GTEST_SKIP() << "curl is not installed";
  const std::string url = fmt::format("http://127.0.0.1:{}", port_);
  const auto curl = [&](const std::string& arguments) {
    const std::string command = "curl -s --max-time 20 " + arguments;
    std::string output;
    FILE* pipe = ::popen(command.c_str(), "r");
    char buffer[4096];
    while (const size_t got = ::fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, got);
    EXPECT_EQ(::pclose(pipe), 0) << command;
    return output;
  };
  EXPECT_EQ(curl("-d hello " + url + "/echo"), "hello");
  EXPECT_EQ(curl("--http1.0 " + url + "/stream"), "piecepiecepiece");
  EXPECT_EQ(curl(url + "/stream " + url + "/stream"), "piecepiecepiecepiecepiecepiece");
  EXPECT_EQ(curl("-H 'Transfer-Encoding: chunked' -d hello " + url + "/echo"), "hello");
  EXPECT_EQ(curl("-H 'Expect: 100-continue' -d hello " + url + "/echo"), "hello");
  EXPECT_EQ(curl("-I -o /dev/null -w '%{http_code}' " + url + "/stream"), "200");
  EXPECT_EQ(curl("-o /dev/null -w '%{http_code}' -T /bin/bash " + url + "/refuse"), "403");
}

}  // namespace
}  // namespace wrenn::wire
