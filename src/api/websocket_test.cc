#include "api/websocket.h"

#include <gtest/gtest.h>

#include <sys/socket.h>

#include <thread>

#include "base/encoding.h"

namespace wrenn::api {
namespace {

using Type = WebSocketMessage::Type;

Deadline Soon() { return Deadline::After(std::chrono::seconds(10)); }

wire::RequestHead UpgradeRequest() {
  wire::RequestHead head;
  head.method = "GET";
  head.target = "/stream";
  head.fields.Add("Host", "localhost:8080");
  head.fields.Add("Connection", "keep-alive, Upgrade");
  head.fields.Add("Upgrade", "websocket");
  head.fields.Add("Sec-WebSocket-Version", "13");
  head.fields.Add("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
  return head;
}

// A frame of a client, masked with zeros.
std::string Frame(unsigned char first, std::string_view payload) {
  std::string frame(1, static_cast<char>(first));
  if (payload.size() < 126) {
    frame.push_back(static_cast<char>(0x80 | payload.size()));
  } else {
    // The shortest form of the length is the only one that is allowed.
    const bool large = payload.size() > 0xFFFF;
    frame.push_back(static_cast<char>(0x80 | (large ? 127 : 126)));
    for (int shift = large ? 56 : 8; shift >= 0; shift -= 8) {
      frame.push_back(static_cast<char>(static_cast<uint64_t>(payload.size()) >> shift & 0xFF));
    }
  }
  return frame.append(4, '\0').append(payload);
}

// A server's end, and the raw socket of its client.
class RawClient : public testing::Test {
 protected:
  void SetUp() override {
    auto pair = SocketPair();
    ASSERT_TRUE(pair);
    client_ = wire::ByteStream(std::move(pair->first));
    stream_ = wire::ByteStream(std::move(pair->second));
    auto socket = WebSocket::Accept(stream_, UpgradeRequest(), Soon());
    ASSERT_TRUE(socket) << socket.error().message;
    socket_ = std::move(*socket);
    auto answer = client_.ReadThrough("\r\n\r\n", 4096, Soon());
    ASSERT_TRUE(answer);
    answer_ = *answer;
  }

  void Send(std::string_view bytes) { ASSERT_TRUE(client_.Write(bytes, Soon())); }

  std::string Read(size_t count) {
    std::string bytes;
    while (bytes.size() < count) {
      char buffer[4096];
      auto got =
          client_.Read(std::span(buffer, std::min(count - bytes.size(), sizeof buffer)), Soon());
      if (!got || *got == 0) break;
      bytes.append(buffer, *got);
    }
    return bytes;
  }

  wire::ByteStream client_;
  wire::ByteStream stream_;
  std::unique_ptr<WebSocket> socket_;
  std::string answer_;
};

TEST_F(RawClient, HandshakeAnswersTheKeyOfTheRfc) {
  EXPECT_TRUE(answer_.starts_with("HTTP/1.1 101 "));
  EXPECT_NE(answer_.find("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            std::string::npos);
}

TEST_F(RawClient, FragmentsMakeOneMessageWithAPingBetween) {
  Send(Frame(0x01, "Hel") + Frame(0x89, "ping") + Frame(0x80, "lo"));
  auto message = socket_->Receive(Soon());
  ASSERT_TRUE(message) << message.error().message;
  EXPECT_EQ(message->type, Type::kText);
  EXPECT_EQ(message->data, "Hello");
  EXPECT_EQ(Read(6), std::string("\x8a\x04ping", 6));
}

TEST_F(RawClient, BytesMayComeOneByOne) {
  const std::string bytes = Frame(0x82, std::string(300, 'x'));
  std::thread sender([&] {
    for (const char byte : bytes) Send(std::string_view(&byte, 1));
  });
  auto message = socket_->Receive(Soon());
  sender.join();
  ASSERT_TRUE(message);
  EXPECT_EQ(message->type, Type::kBinary);
  EXPECT_EQ(message->data, std::string(300, 'x'));
}

TEST_F(RawClient, ReceiveCanBeRepeatedAfterItsDeadline) {
  const std::string bytes = Frame(0x81, "whole");
  Send(bytes.substr(0, 7));
  auto message = socket_->Receive(Deadline::After(std::chrono::milliseconds(0)));
  ASSERT_FALSE(message);
  EXPECT_EQ(message.error().code, Code::kDeadlineExceeded);
  Send(bytes.substr(7));
  message = socket_->Receive(Soon());
  ASSERT_TRUE(message);
  EXPECT_EQ(message->data, "whole");
  EXPECT_FALSE(socket_->HasBuffered());
}

TEST_F(RawClient, SeveralMessagesInOnePacketAreBuffered) {
  Send(Frame(0x81, "one") + Frame(0x81, "two"));
  EXPECT_EQ(socket_->Receive(Soon())->data, "one");
  EXPECT_TRUE(socket_->HasBuffered());
  EXPECT_EQ(socket_->Receive(Soon())->data, "two");
}

TEST_F(RawClient, TooLargeAMessageClosesWith1009) {
  std::string head("\x82\xff", 2);
  for (int shift = 56; shift >= 0; shift -= 8) {
    head.push_back(static_cast<char>(uint64_t{WebSocket::kMaxMessageBytes + 1} >> shift & 0xFF));
  }
  Send(head.append(4, '\0') + "the first bytes");
  EXPECT_FALSE(socket_->Receive(Soon()));
  const std::string close = Read(4);
  ASSERT_EQ(close.size(), 4u);
  EXPECT_EQ(close[0], '\x88');
  EXPECT_EQ(close.substr(2, 2), "\x03\xf1");
}

TEST_F(RawClient, TooManyFragmentsCountTogether) {
  std::thread sender([&] {
    const std::string part(600 << 10, 'a');
    [[maybe_unused]] auto first = client_.Write(Frame(0x01, part), Soon());
    [[maybe_unused]] auto second = client_.Write(Frame(0x80, part), Soon());
  });
  EXPECT_FALSE(socket_->Receive(Soon()));
  stream_.Shutdown();
  sender.join();
}

TEST_F(RawClient, UnmaskedFramesAreRefused) {
  Send(std::string("\x81\x02hi", 4));
  EXPECT_FALSE(socket_->Receive(Soon()));
  EXPECT_EQ(Read(4).substr(2), "\x03\xea");  // 1002
}

TEST_F(RawClient, TextMustBeUtf8) {
  Send(Frame(0x81, "\xff\xfe"));
  EXPECT_FALSE(socket_->Receive(Soon()));
  EXPECT_EQ(Read(4).substr(2), "\x03\xef");  // 1007
}

TEST_F(RawClient, CloseIsAnsweredAndTold) {
  Send(Frame(0x88, std::string("\x03\xe8", 2) + "bye"));
  auto message = socket_->Receive(Soon());
  ASSERT_TRUE(message);
  EXPECT_EQ(message->type, Type::kClose);
  EXPECT_EQ(message->close_status, 1000);
  EXPECT_EQ(message->data, "bye");
  EXPECT_EQ(Read(2).substr(0, 1), "\x88");
  EXPECT_FALSE(socket_->SendText("late", Soon()));
}

TEST_F(RawClient, EndWithoutCloseIsBroken) {
  client_ = wire::ByteStream();
  auto message = socket_->Receive(Soon());
  ASSERT_FALSE(message);
  EXPECT_EQ(message.error().code, Code::kUnavailable);
}

// Both ends of ours.
class BothEnds : public testing::Test {
 protected:
  void SetUp() override {
    auto pair = SocketPair();
    ASSERT_TRUE(pair);
    client_stream_ = wire::ByteStream(std::move(pair->first));
    server_stream_ = wire::ByteStream(std::move(pair->second));
    std::thread accept([this] {
      auto text = server_stream_.ReadThrough("\r\n\r\n", 4096, Soon());
      if (!text) return;
      auto head = wire::ParseRequestHead(*text);
      if (!head) return;
      auto socket = WebSocket::Accept(server_stream_, *head, Soon());
      if (socket) server_ = std::move(*socket);
    });
    auto socket = WebSocket::Connect(client_stream_, {"GET", "/x", 1, {}}, Soon());
    accept.join();
    ASSERT_TRUE(socket) << socket.error().message;
    ASSERT_TRUE(server_);
    client_ = std::move(*socket);
  }

  wire::ByteStream client_stream_;
  wire::ByteStream server_stream_;
  std::unique_ptr<WebSocket> client_;
  std::unique_ptr<WebSocket> server_;
};

TEST_F(BothEnds, MessagesOfAllSizesArriveBothWays) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{125}, size_t{126}, size_t{65535},
                            size_t{65536}, WebSocket::kMaxMessageBytes}) {
    const std::string data(size, 'd');
    std::thread sender([&] { EXPECT_TRUE(client_->SendBinary(data, Soon())); });
    auto message = server_->Receive(Soon());
    sender.join();
    ASSERT_TRUE(message) << size;
    EXPECT_EQ(message->data, data);
    std::thread back([&] { EXPECT_TRUE(server_->SendText(data, Soon())); });
    message = client_->Receive(Soon());
    back.join();
    ASSERT_TRUE(message) << size;
    EXPECT_EQ(message->type, Type::kText);
    EXPECT_EQ(message->data, data);
  }
}

TEST_F(BothEnds, ManySendersKeepMessagesWhole) {
  constexpr int kSenders = 4;
  constexpr int kEach = 200;
  std::vector<std::thread> senders;
  for (int i = 0; i < kSenders; ++i) {
    senders.emplace_back([this, i] {
      const std::string data(1000 + static_cast<size_t>(i), static_cast<char>('a' + i));
      for (int k = 0; k < kEach; ++k) EXPECT_TRUE(server_->SendText(data, Soon()));
    });
  }
  // Pings among them, which the receiving thread answers.
  for (int k = 0; k < kEach; ++k) EXPECT_TRUE(client_->SendPing(Soon()));
  std::thread pongs([this] {
    while (server_->Receive(Soon())) {
    }
  });
  for (int k = 0; k < kSenders * kEach; ++k) {
    auto message = client_->Receive(Soon());
    ASSERT_TRUE(message) << message.error().message;
    const char letter = message->data[0];
    EXPECT_EQ(message->data, std::string(1000 + static_cast<size_t>(letter - 'a'), letter));
  }
  for (std::thread& sender : senders) sender.join();
  client_stream_.Shutdown();
  pongs.join();
}

TEST_F(BothEnds, LongReasonsAreCutBetweenCharacters) {
  std::string reason;
  while (reason.size() < 200) reason += "ü";
  ASSERT_TRUE(server_->SendClose(kCloseInternal, "x" + reason, Soon()));
  auto message = client_->Receive(Soon());
  ASSERT_TRUE(message);
  EXPECT_EQ(message->close_status, kCloseInternal);
  EXPECT_TRUE(IsUtf8(message->data));
  EXPECT_GE(message->data.size(), 120u);
}

TEST(WebSocketCheck, RefusesWhatIsNoUpgrade) {
  EXPECT_TRUE(WebSocket::CheckUpgrade(UpgradeRequest()));
  const auto refused = [](std::string_view name, const char* value) {
    wire::RequestHead head = UpgradeRequest();
    head.fields.Set(name, value);
    auto checked = WebSocket::CheckUpgrade(head);
    return checked ? std::string("accepted") : std::string(CodeName(checked.error().code));
  };
  EXPECT_EQ(refused("Connection", "close"), "invalid_argument");
  EXPECT_EQ(refused("Upgrade", "h2c"), "invalid_argument");
  EXPECT_EQ(refused("Sec-WebSocket-Version", "8"), "invalid_argument");
  EXPECT_EQ(refused("Sec-WebSocket-Key", "short"), "invalid_argument");
  EXPECT_EQ(refused("Origin", "http://evil.example"), "permission_denied");
  EXPECT_EQ(refused("Origin", "null"), "permission_denied");
  EXPECT_EQ(refused("Origin", "http://localhost:8080"), "accepted");
}

TEST(WebSocketConnect, AnErrorAnswerComesWithItsMessage) {
  auto pair = SocketPair();
  ASSERT_TRUE(pair);
  wire::ByteStream client(std::move(pair->first));
  wire::ByteStream server(std::move(pair->second));
  const std::string body = R"({"error":{"code":"not_found","message":"no sandbox 'x'"}})";
  ASSERT_TRUE(server.Write("HTTP/1.1 404 Not Found\r\nContent-Length: " +
                               std::to_string(body.size()) + "\r\n\r\n" + body,
                           Soon()));
  auto socket = WebSocket::Connect(client, {"GET", "/x", 1, {}}, Soon());
  ASSERT_FALSE(socket);
  EXPECT_EQ(socket.error().code, Code::kNotFound);
  EXPECT_EQ(socket.error().message, "no sandbox 'x'");
}

}  // namespace
}  // namespace wrenn::api
