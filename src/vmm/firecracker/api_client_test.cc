#include "vmm/firecracker/api_client.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>
#include <thread>

#include "os/files.h"
#include "vmm/firecracker/api_answer.h"
#include "wire/sockets.h"

namespace wrenn::vmm {
namespace {

using std::chrono::milliseconds;

Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }

class ApiClientTest : public testing::Test {
 protected:
  void SetUp() override {
    auto directory = os::TemporaryDirectory::Make();
    ASSERT_TRUE(directory);
    directory_.emplace(std::move(*directory));
    path_ = directory_->path() + "/api.sock";
  }
  void TearDown() override {
    if (server_.joinable()) server_.join();
  }

  // The server's side of one connection: reads a request, up to `end`, says `answer`, and closes.
  void Serve(std::string answer, std::string end) {
    listener_ = wire::ListenUnix(path_).value();
    server_ = std::thread([this, answer = std::move(answer), end = std::move(end)] {
      ASSERT_TRUE(WaitReady(listener_.get(), POLLIN, Soon()));
      const UniqueFd connection(
          ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      char buffer[4096];
      while (!heard_.ends_with(end)) {
        auto got = ReadSome(connection.get(), buffer, Soon());
        ASSERT_TRUE(got && *got > 0);
        heard_.append(buffer, *got);
      }
      ASSERT_TRUE(WriteAll(connection.get(), answer, Soon()));
    });
  }

  std::optional<os::TemporaryDirectory> directory_;
  std::string path_;
  UniqueFd listener_;
  std::thread server_;
  std::string heard_;
};

TEST_F(ApiClientTest, SendsARequestAndTakesNoContentForDone) {
  const std::string expected =
      "PUT /vsock HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n"
      "Content-Type: application/json\r\nContent-Length: 31\r\n\r\n"
      R"({"guest_cid":3,"uds_path":"/v"})";
  Serve("HTTP/1.1 204 \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n\r\n", "}");
  const auto done = ApiClient(path_).Call(PutVsock("/v"), Soon());
  ASSERT_TRUE(done) << done.error().ToString();
  EXPECT_EQ(*done, "");
  server_.join();
  EXPECT_EQ(heard_, expected);
}

TEST_F(ApiClientTest, GivesTheBodyOfAnAnswer) {
  Serve("HTTP/1.1 200 \r\nContent-Length: 32\r\n\r\n{\"firecracker_version\":\"1.14.2\"}",
        "\r\n\r\n");
  EXPECT_EQ(ApiClient(path_).Version(Soon()).value(), (FirecrackerVersion{1, 14, 2}));
}

TEST_F(ApiClientTest, ARefusalIsAnError) {
  Serve("HTTP/1.1 400 \r\nContent-Length: 24\r\n\r\n{\"fault_message\":\"Nope\"}", "}");
  const auto refused = ApiClient(path_).Call(StartInstance(), Soon());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kFailedPrecondition);
  EXPECT_EQ(refused.error().message, "Firecracker refused PUT /actions: Nope");
}

TEST_F(ApiClientTest, NobodyThere) {
  const ApiClient client(path_);
  const auto absent = client.Version(Soon());
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, Code::kUnavailable);
  EXPECT_EQ(absent.error().message,
            "Firecracker's API socket is not there: it has not come up, or its files were removed");
  EXPECT_NE(absent.error().detail.find(path_), std::string::npos);

  wire::ListenUnix(path_).value();  // closed again; its file stays, as after a crash
  const auto dead = client.Version(Soon());
  ASSERT_FALSE(dead);
  EXPECT_EQ(dead.error().code, Code::kUnavailable);
  EXPECT_EQ(dead.error().message, "nothing listens on Firecracker's API socket: it has ended");
}

TEST_F(ApiClientTest, AnEndInTheMiddle) {
  for (const char* answer : {"", "HTTP/1.1 2", "HTTP/1.1 200 \r\nContent-Length: 9\r\n\r\n{"}) {
    ::unlink(path_.c_str());
    heard_.clear();
    Serve(answer, "}");
    const auto broken = ApiClient(path_).Call(StartInstance(), Soon());
    ASSERT_FALSE(broken);
    EXPECT_EQ(broken.error().code, Code::kUnavailable) << answer;
    EXPECT_EQ(broken.error().message,
              "Firecracker ended, or closed the connection, during PUT /actions: its log may say "
              "why");
    server_.join();
  }
}

TEST_F(ApiClientTest, NonsenseAndTooMuchAreErrors) {
  for (const std::string& answer :
       {std::string("SSH-2.0\r\n\r\n"),
        fmt::format("HTTP/1.1 200 \r\nContent-Length: {}\r\n\r\n{}", kMaxApiAnswer + 1,
                    std::string(kMaxApiAnswer + 1, ' '))}) {
    ::unlink(path_.c_str());
    heard_.clear();
    listener_ = wire::ListenUnix(path_).value();
    server_ = std::thread([&] {
      ASSERT_TRUE(WaitReady(listener_.get(), POLLIN, Soon()));
      const UniqueFd connection(
          ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      (void)WriteAll(connection.get(), answer, Soon());
      (void)WaitReady(connection.get(), POLLIN, Soon());
    });
    const auto wrong = ApiClient(path_).Version(Soon());
    server_.join();
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().code, Code::kInternal) << wrong.error().ToString();
  }
}

TEST_F(ApiClientTest, KeepsItsDeadlineAndTheServersLimit) {
  listener_ = wire::ListenUnix(path_).value();
  const auto late = ApiClient(path_).Version(Deadline::After(milliseconds(20)));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Code::kDeadlineExceeded);
  EXPECT_EQ(late.error().message, "Firecracker did not answer GET /version in time");
  const auto large =
      ApiClient(path_).Call({"PUT", "/mmds", std::string(kMaxApiBody + 1, ' ')}, Soon());
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, Code::kInvalidArgument);
}

}  // namespace
}  // namespace wrenn::vmm
