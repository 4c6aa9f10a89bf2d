#include "wire/http.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "wire/http_body.h"
#include "wire/http_client.h"

namespace wrenn::wire {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using namespace std::string_literals;

Deadline Soon() { return Deadline::After(seconds(60)); }

// --- Heads ---

TEST(RequestHeadTest, IsParsed) {
  const auto head = ParseRequestHead(
      "POST /files?path=%2Ftmp%2Fa+b&x HTTP/1.1\r\nHost: h\r\nX-Empty:\r\n"
      "CONNECTION: keep-alive,\tUpgrade \r\nX-Twice: 1\r\nx-twice: 2\r\n\r\n");
  ASSERT_TRUE(head) << head.error().message;
  EXPECT_EQ(head->method, "POST");
  EXPECT_EQ(head->path(), "/files");
  EXPECT_EQ(head->query(), "path=%2Ftmp%2Fa+b&x");
  EXPECT_EQ(head->Param("path").value_or("none"), "/tmp/a b");
  EXPECT_EQ(head->Param("x").value_or("none"), "");
  EXPECT_FALSE(head->Param("y"));
  EXPECT_EQ(head->minor_version, 1);
  EXPECT_EQ(head->fields.Get("x-empty"), "");
  EXPECT_TRUE(head->fields.HasToken("connection", "upgrade"));
  EXPECT_TRUE(head->fields.HasToken("Connection", "Keep-Alive"));
  EXPECT_FALSE(head->fields.HasToken("connection", "keep"));
  EXPECT_EQ(head->fields.Count("X-TWICE"), 2u);
  EXPECT_EQ(head->fields.Get("X-Twice"), "1");
}

TEST(RequestHeadTest, RefusesWhatReadersCouldDisagreeOn) {
  const std::string good = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
  ASSERT_TRUE(ParseRequestHead(good));
  const std::string bad[] = {
      "",
      "\r\n\r\n",
      "GET /\r\nHost: h\r\n\r\n",  // no version
      "GET / HTTP/2.0\r\nHost: h\r\n\r\n",
      "GET / HTTP/1.10\r\nHost: h\r\n\r\n",
      "GET / http/1.1\r\nHost: h\r\n\r\n",
      "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",  // two spaces
      "GET / x HTTP/1.1\r\nHost: h\r\n\r\n",
      "GET /\t HTTP/1.1\r\nHost: h\r\n\r\n",
      "GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n",  // no proxy
      "G(T / HTTP/1.1\r\nHost: h\r\n\r\n",
      "GET / HTTP/1.1\nHost: h\n\n",  // bare LF
      "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n",          // bare CR
      "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",  // folded
      "GET / HTTP/1.1\r\nHost: h\r\n X: a\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: h\r\nX : a\r\n\r\n",  // space before the colon
      "GET / HTTP/1.1\r\nHost: h\r\n: a\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: h\r\nX: a\x01\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n"s,
      "GET / HTTP/1.1\r\n\r\n",  // no Host
      "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: h\r\n\r\nmore",  // bytes behind the head
      "GET / HTTP/1.1\r\nHost: h\r\n",          // no end
  };
  for (const std::string& text : bad) EXPECT_FALSE(ParseRequestHead(text)) << text;
  std::string many = "GET / HTTP/1.1\r\nHost: h\r\n";
  for (size_t i = 0; i < kMaxFields; ++i) many += "X: y\r\n";
  EXPECT_FALSE(ParseRequestHead(many + "\r\n"));
}

Result<BodyLength> LengthOf(const std::string& fields) {
  auto head = ParseRequestHead("POST / HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n");
  if (!head) return Fail(head.error());
  return RequestBodyLength(*head);
}

TEST(BodyLengthTest, OfRequests) {
  EXPECT_EQ(LengthOf("")->bytes, 0u);
  EXPECT_EQ(LengthOf("Content-Length: 12\r\n")->bytes, 12u);
  EXPECT_EQ(LengthOf("Content-Length: 18446744073709551615\r\n")->bytes, UINT64_MAX);
  EXPECT_EQ(LengthOf("Transfer-Encoding: Chunked\r\n")->kind, BodyLength::Kind::kChunked);
  for (const char* bad : {"Content-Length: 1\r\nContent-Length: 1\r\n", "Content-Length: 1, 1\r\n",
                          "Content-Length:\r\n", "Content-Length: +1\r\n", "Content-Length: -1\r\n",
                          "Content-Length: 0x1\r\n", "Content-Length: 1a\r\n",
                          "Content-Length: 1 1\r\n", "Content-Length: 18446744073709551616\r\n",
                          "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
                          "Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding: identity\r\n",
                          "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                          "Transfer-Encoding: chunked, identity\r\n", "Transfer-Encoding:\r\n"}) {
    EXPECT_FALSE(LengthOf(bad)) << bad;
  }
}

TEST(BodyLengthTest, OfResponses) {
  const auto length = [](const std::string& text, std::string_view method) {
    return ResponseBodyLength(ParseResponseHead(text).value(), method).value();
  };
  const std::string fixed = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
  EXPECT_EQ(length(fixed, "GET").bytes, 5u);
  EXPECT_EQ(length(fixed, "HEAD").bytes, 0u);
  EXPECT_EQ(length("HTTP/1.1 200 OK\r\n\r\n", "GET").kind, BodyLength::Kind::kUntilClose);
  EXPECT_EQ(length("HTTP/1.1 204 No Content\r\n\r\n", "GET").kind, BodyLength::Kind::kFixed);
  EXPECT_EQ(length("HTTP/1.1 304\r\nContent-Length: 9\r\n\r\n", "GET").bytes, 0u);
  EXPECT_EQ(length("HTTP/1.1 101 Up\r\n\r\n", "GET").kind, BodyLength::Kind::kFixed);
}

TEST(ResponseHeadTest, RefusesBadStatusLines) {
  EXPECT_EQ(ParseResponseHead("HTTP/1.0 404 Not Found\r\n\r\n")->status, 404);
  EXPECT_EQ(ParseResponseHead("HTTP/1.1 200 \r\n\r\n")->status, 200);
  for (const char* bad :
       {"HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 099\r\n\r\n",
        "HTTP/1.1 -20\r\n\r\n", "HTTP/1.1  20\r\n\r\n", "ICY 200 OK\r\n\r\n",
        "HTTP/3.0 200 OK\r\n\r\n", "HTTP/1.1 200OK\r\n\r\n", "\r\n\r\n"}) {
    EXPECT_FALSE(ParseResponseHead(bad)) << bad;
  }
}

TEST(FormatTest, NothingBreaksOutOfItsLine) {
  RequestHead request;
  request.method = "GET";
  request.target = "/a b\r\nX: y";
  request.fields.Add("X-Name", "a\r\nEvil: yes\0b"s);
  auto again = ParseRequestHead(FormatRequestHead(request));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->target, "/a%20b%0D%0AX:%20y");
  EXPECT_EQ(again->fields.Get("x-name"), "a  Evil: yes b");
  EXPECT_EQ(again->fields.Get("host"), "localhost");
  ResponseHead response;
  response.fields.Set("X-Name", "a\nb");
  response.fields.Set("x-name", "c\nd");
  auto answer = ParseResponseHead(FormatResponseHead(response));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->fields.all().size(), 1u);
  EXPECT_EQ(answer->fields.Get("x-name"), "c d");
}

// --- Bodies ---

// A stream on which these bytes come in pieces of `piece` bytes, and then the end.
class Source {
 public:
  explicit Source(std::string bytes, size_t piece = SIZE_MAX) {
    auto pair = SocketPair();
    stream_ = ByteStream(std::move(pair->second));
    thread_ = std::thread([fd = std::move(pair->first), text = std::move(bytes), piece] {
      for (size_t at = 0; at < text.size(); at += std::min(piece, text.size())) {
        if (!WriteAll(fd.get(), std::string_view(text).substr(at, piece), Soon())) return;
        if (piece < text.size()) std::this_thread::yield();
      }
    });
  }
  ~Source() {
    stream_.Shutdown();
    thread_.join();
  }
  ByteStream& stream() { return stream_; }

 private:
  ByteStream stream_;
  std::thread thread_;
};

constexpr BodyLength kChunks{BodyLength::Kind::kChunked, 0};

TEST(BodyReaderTest, FixedBodyLeavesTheRestAlone) {
  Source source("hellorest");
  BodyReader body(source.stream(), {BodyLength::Kind::kFixed, 5});
  EXPECT_EQ(body.ReadAll(5, Soon()).value_or("broken"), "hello");
  EXPECT_TRUE(body.done());
  char buffer[10];
  EXPECT_EQ(source.stream().Read(buffer, Soon()).value_or(0), 4u);
}

TEST(BodyReaderTest, ChunkedBodyInPiecesOfAnySize) {
  const std::string wire =
      "5;ext=\"v\"\r\nhello\r\n00001\r\n \r\nA\r\n0123456789\r\n0\r\nT: v\r\n\r\nrest";
  for (size_t piece = 1; piece < wire.size(); ++piece) {
    Source source(wire, piece);
    BodyReader body(source.stream(), kChunks);
    EXPECT_EQ(body.ReadAll(100, Soon()).value_or("broken"), "hello 0123456789");
    EXPECT_TRUE(body.done());
    EXPECT_EQ(source.stream().ReadThrough("rest", 4, Soon()).value_or("broken"), "rest");
  }
}

TEST(BodyReaderTest, CutBodiesAreUnavailable) {
  const std::string wire = "5\r\nhello\r\n0\r\n\r\n";
  for (size_t cut = 0; cut < wire.size(); ++cut) {
    Source source(wire.substr(0, cut));
    BodyReader body(source.stream(), kChunks);
    auto text = body.ReadAll(100, Soon());
    ASSERT_FALSE(text) << cut;
    EXPECT_EQ(text.error().code, Code::kUnavailable) << cut;
    EXPECT_FALSE(body.done());
  }
  Source source("hell");
  BodyReader body(source.stream(), {BodyLength::Kind::kFixed, 5});
  EXPECT_EQ(body.ReadAll(100, Soon()).error().code, Code::kUnavailable);
}

TEST(BodyReaderTest, BadChunksStayBad) {
  for (const std::string& wire :
       {"5\r\nhelloX\r\n0\r\n\r\n"s, "x\r\n0\r\n\r\n"s, "-1\r\n0\r\n\r\n"s,
        "0x5\r\nhello\r\n0\r\n\r\n"s, " 5\r\nhello\r\n0\r\n\r\n"s, "5 \r\nhello\r\n0\r\n\r\n"s,
        "\r\n0\r\n\r\n"s, "5;a\nb\r\nhello\r\n0\r\n\r\n"s, "5\nhello\r\n0\r\n\r\n"s,
        "1000000000000000\r\n0\r\n\r\n"s, "5\r\nhello\n\n0\r\n\r\n"s,
        std::string(2000, '0') + "\r\n\r\n0\r\n\r\n", "0\r\nT: a\nb\r\n\r\n"s}) {
    Source source(wire);
    BodyReader body(source.stream(), kChunks);
    Result<std::string> text = body.ReadAll(100, Soon());
    ASSERT_FALSE(text) << wire;
    EXPECT_EQ(text.error().code, Code::kInvalidArgument) << wire << text.error().message;
    // What follows is never taken for a chunk.
    EXPECT_FALSE(body.ReadAll(100, Soon())) << wire;
    EXPECT_FALSE(body.done());
  }
}

TEST(BodyReaderTest, EndlessTrailerIsRefused) {
  std::string wire = "0\r\n";
  for (int i = 0; i < 100; ++i) wire += "T: " + std::string(900, 'x') + "\r\n";
  Source source(wire);
  BodyReader body(source.stream(), kChunks);
  EXPECT_EQ(body.ReadAll(100, Soon()).error().code, Code::kInvalidArgument);
}

TEST(BodyReaderTest, LargeBodiesAreRefusedWithoutBeingRead) {
  Source source(std::string(1000, 'x'));
  BodyReader body(source.stream(), {BodyLength::Kind::kFixed, UINT64_MAX});
  EXPECT_EQ(body.ReadAll(10, Soon()).error().code, Code::kOutOfRange);
  Source chunks("64\r\n" + std::string(100, 'x') + "\r\n0\r\n\r\n");
  BodyReader chunked(chunks.stream(), kChunks);
  EXPECT_EQ(chunked.ReadAll(99, Soon()).error().code, Code::kOutOfRange);
}

TEST(BodyReaderTest, AWaitThatTimesOutLosesNothing) {
  auto pair = SocketPair();
  ByteStream stream(std::move(pair->second));
  BodyReader body(stream, kChunks);
  std::string got;
  char buffer[100];
  for (const char c : "5\r\nhello\r\n3\r\nyou\r\n0\r\nT: v\r\n\r\n"s) {
    ASSERT_TRUE(WriteAll(pair->first.get(), {&c, 1}, Soon()));
    auto more = body.Read(buffer, Deadline::After(milliseconds(0)));
    if (more) got.append(buffer, *more);
    EXPECT_TRUE(more || more.error().code == Code::kDeadlineExceeded);
  }
  EXPECT_EQ(got, "helloyou");
  EXPECT_TRUE(body.done());
}

TEST(BodyReaderTest, NothingLooksReadableAfterTheLastChunk) {
  auto pair = SocketPair();
  ByteStream stream(std::move(pair->second));
  BodyReader body(stream, kChunks);
  ASSERT_TRUE(WriteAll(pair->first.get(), "5\r\nhello\r\n", Soon()));
  char buffer[100];
  EXPECT_EQ(body.Read(buffer, Soon()).value_or(0), 5u);
  EXPECT_FALSE(stream.HasBuffered());
}

TEST(ByteStreamTest, ReadThroughKeepsWithinItsLimit) {
  Source source(std::string(100, 'x') + "\r\n" + std::string(50, 'y') + "\r\n");
  EXPECT_EQ(source.stream().ReadThrough("\r\n", 10, Soon()).error().code, Code::kOutOfRange);
  EXPECT_EQ(source.stream().ReadThrough("\r\n", 102, Soon())->size(), 102u);
  EXPECT_EQ(source.stream().ReadThrough("\r\n", 100, Soon())->size(), 52u);
  EXPECT_EQ(source.stream().ReadThrough("\r\n", 100, Soon()).value_or("more"), "");
}

TEST(BodyWriterTest, WhatItWritesCanBeRead) {
  auto pair = SocketPair();
  ByteStream out(std::move(pair->first)), in(std::move(pair->second));
  std::string expected;
  std::thread writer([&] {
    BodyWriter body(out, true);
    for (const size_t size : {0, 1, 4096, 4097, 100'000, 3}) {
      EXPECT_TRUE(body.Write(std::string(size, 'a'), Soon()));
    }
    EXPECT_TRUE(body.Finish(Soon()));
  });
  BodyReader body(in, kChunks);
  EXPECT_EQ(body.ReadAll(1 << 20, Soon()).value_or("").size(), 1u + 4096 + 4097 + 100'000 + 3);
  writer.join();
}

// --- The client, against a peer that says what it is told to ---

class ClientTest : public testing::Test {
 protected:
  void SetUp() override {
    auto pair = SocketPair();
    client_.emplace(std::move(pair->first));
    peer_ = std::move(pair->second);
  }
  void Say(std::string_view text) { ASSERT_TRUE(WriteAll(peer_.get(), text, Soon())); }

  std::optional<HttpClient> client_;
  UniqueFd peer_;
};

TEST_F(ClientTest, IsReusableAfterAWholeAnswer) {
  Say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  EXPECT_FALSE(client_->Reusable());
  ASSERT_TRUE(client_->Send({"GET", "/", 1, {}}, "", Soon()));
  EXPECT_EQ(client_->response().status, 200);
  EXPECT_FALSE(client_->Reusable());
  EXPECT_EQ(client_->body().ReadAll(10, Soon()).value_or(""), "ok");
  EXPECT_TRUE(client_->Reusable());
  Say("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
  ASSERT_TRUE(client_->Send({"GET", "/", 1, {}}, "", Soon()));
  EXPECT_FALSE(client_->Reusable());
}

TEST_F(ClientTest, UnaskedBytesMakeItUnusable) {
  Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n");
  ASSERT_TRUE(client_->Send({"GET", "/", 1, {}}, "", Soon()));
  EXPECT_TRUE(client_->body().ReadAll(10, Soon()));
  EXPECT_FALSE(client_->Reusable());
}

TEST_F(ClientTest, ReadsAnAnswerThatComesBeforeItsBodyIsSent) {
  Say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
  ::shutdown(peer_.get(), SHUT_RD);  // writing to it fails now
  ASSERT_TRUE(client_->Send({"POST", "/", 1, {}}, std::string(1 << 20, 'x'), Soon()));
  EXPECT_EQ(client_->response().status, 413);
  EXPECT_EQ(client_->body().ReadAll(10, Soon()).value_or(""), "big");
  EXPECT_FALSE(client_->Reusable());
}

TEST_F(ClientTest, ClosedConnectionIsUnavailable) {
  peer_.Reset();
  auto sent = client_->Send({"GET", "/", 1, {}}, "", Soon());
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, Code::kUnavailable);
}

TEST_F(ClientTest, EndlessInterimAnswersAreRefused) {
  for (int i = 0; i < 100; ++i) Say("HTTP/1.1 102 Processing\r\n\r\n");
  EXPECT_EQ(client_->Send({"GET", "/", 1, {}}, "", Soon()).error().code, Code::kInvalidArgument);
}

TEST_F(ClientTest, OversizeHeadIsRefused) {
  std::thread peer([&] {
    [[maybe_unused]] auto sent =
        WriteAll(peer_.get(), "HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'x'), Soon());
  });
  EXPECT_EQ(client_->Send({"GET", "/", 1, {}}, "", Soon()).error().code, Code::kOutOfRange);
  peer.join();
}

}  // namespace
}  // namespace wrenn::wire
