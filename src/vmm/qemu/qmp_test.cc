#include <gtest/gtest.h>

#include <poll.h>

#include <atomic>
#include <thread>

#include "base/io.h"
#include "vmm/qemu/qmp_client.h"
#include "vmm/qemu/qmp_parser.h"

namespace wrenn::vmm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kGreeting =
    R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "x"}, "capabilities": ["oob"]}})"
    "\r\n";

Deadline Soon() { return Deadline::After(seconds(20)); }

TEST(QmpParserTest, KnowsTheFourKinds) {
  auto greeting = ParseQmpMessage(kGreeting);
  ASSERT_TRUE(greeting) << greeting.error().ToString();
  EXPECT_EQ(std::get<QmpGreeting>(*greeting).build, "QEMU emulator version 7.2.22 (x)");
  auto reply = ParseQmpMessage(R"({"return": {"status": "running"}, "id": 4})");
  ASSERT_TRUE(reply);
  EXPECT_EQ(std::get<QmpReply>(*reply).id, 4u);
  EXPECT_EQ(std::get<QmpReply>(*reply).value.at("status").as_string(), "running");
  auto error =
      ParseQmpMessage(R"({"id": 5, "error": {"class": "GenericError", "desc": "no such thing"}})");
  ASSERT_TRUE(error);
  EXPECT_EQ(std::get<QmpError>(*error).description, "no such thing");
  auto event = ParseQmpMessage(
      R"({"timestamp": {"seconds": 1, "microseconds": 2}, "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}})");
  ASSERT_TRUE(event);
  EXPECT_EQ(std::get<QmpEvent>(*event).name, "SHUTDOWN");
}

TEST(QmpParserTest, RefusesEverythingElse) {
  for (const char* line :
       {"", "{", "[]", "7", "{}", R"({"QMP": 1})", R"({"QMP": {}})", R"({"event": 3})",
        R"({"event": ""})", R"({"event": "X", "data": 1})", R"({"return": {}, "id": -1})",
        R"({"return": {}, "id": "x"})", R"({"error": 1})", R"({"return": 1} {"return": 1})",
        R"({"QMP": {"version": {"qemu": {"major": 1e300}}}})"}) {
    EXPECT_FALSE(ParseQmpMessage(line)) << line;
  }
  EXPECT_FALSE(ParseQmpMessage(std::string(100000, '[')));
}

TEST(QmpLinesTest, CutsWhateverThePieces) {
  QmpLines lines;
  std::string seen;
  for (const char c : std::string("{1}\r\n\n\r\n{22}\n{3")) {
    ASSERT_TRUE(lines.Add({&c, 1}));
    while (const auto line = lines.Next()) seen += *line + "|";
  }
  EXPECT_EQ(seen, "{1}|{22}|");
  ASSERT_TRUE(lines.Add("3}\n{4}\n"));
  EXPECT_EQ(lines.Next(), "{33}");
  EXPECT_EQ(lines.Next(), "{4}");
  EXPECT_EQ(lines.Next(), std::nullopt);
  ASSERT_TRUE(lines.Add(std::string(kMaxQmpMessage, 'x')));
  EXPECT_FALSE(lines.Next());
  EXPECT_EQ(lines.Add("x").error().code, Code::kOutOfRange);
}

// A control socket whose other end the test plays.
class QmpClientTest : public testing::Test {
 protected:
  void SetUp() override {
    auto pair = SocketPair();
    ASSERT_TRUE(pair);
    vmm_ = std::move(pair->second);
    Say(std::string(kGreeting) + "{\"return\": {}}\r\n" + early_);
    auto client = QmpClient::Connect(std::move(pair->first), Soon());
    ASSERT_TRUE(client) << client.error().ToString();
    client_ = std::move(*client);
    pump_ = std::thread([this] {
      for (bool open = true; open;) {
        open = client_->Pump([this](const QmpEvent& event) {
          if (event.name == "SHUTDOWN") ++events_;
        });
        if (open) (void)WaitReady(client_->fd(), POLLIN, Soon());
      }
    });
  }
  void TearDown() override {
    vmm_.Reset();
    if (pump_.joinable()) pump_.join();
  }

  void Say(const std::string& text) { ASSERT_TRUE(WriteAll(vmm_.get(), text, Soon())); }
  // The next command that arrives.
  json::object Hear() {
    for (;;) {
      if (const auto line = heard_.Next()) return *ParseJsonObject(*line);
      char buffer[4096];
      auto got = ReadSome(vmm_.get(), buffer, Soon());
      if (!got || *got == 0) return {};
      EXPECT_TRUE(heard_.Add({buffer, *got}));
    }
  }

  UniqueFd vmm_;
  QmpLines heard_;
  std::unique_ptr<QmpClient> client_;
  std::thread pump_;
  std::atomic<int> events_ = 0;
  std::string early_ = "{\"event\": \"SHUTDOWN\"}\r\n";
};

TEST_F(QmpClientTest, NegotiatesAndDeliversAnswersById) {
  EXPECT_EQ(Hear().at("execute").as_string(), "qmp_capabilities");
  Result<json::value> first = Fail(Code::kUnknown, "none");
  std::thread asker([&] { first = client_->Execute("stop", {}, Soon()); });
  const json::object stop = Hear();
  EXPECT_EQ(stop.at("execute").as_string(), "stop");
  Result<json::value> second = Fail(Code::kUnknown, "none");
  std::thread other([&] { second = client_->Execute("cont", {{"x", 1}}, Soon()); });
  const json::object cont = Hear();
  EXPECT_EQ(cont.at("arguments").at("x").as_int64(), 1);
  // The second one's answer comes first.
  Say(fmt::format("{{\"return\": 2, \"id\": {}}}\n{{\"event\": \"SHUTDOWN\"}}\n",
                  cont.at("id").as_int64()));
  Say(fmt::format("{{\"error\": {{\"desc\": \"busy\"}}, \"id\": {}}}\n", stop.at("id").as_int64()));
  asker.join();
  other.join();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->as_int64(), 2);
  ASSERT_FALSE(first);
  EXPECT_EQ(first.error().detail, "busy");
  EXPECT_EQ(events_, 2);  // also the one that came with the greeting
}

TEST_F(QmpClientTest, GivesUpAtTheDeadlineAndForgetsTheLateAnswer) {
  (void)Hear();
  auto late = client_->Execute("stop", {}, Deadline::After(milliseconds(20)));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Code::kDeadlineExceeded);
  const auto id = Hear().at("id").as_int64();
  Say(fmt::format("{{\"return\": {{}}, \"id\": {}}}\n", id));
  std::thread asker([&] { EXPECT_TRUE(client_->Execute("cont", {}, Soon())); });
  Say(fmt::format("{{\"return\": {{}}, \"id\": {}}}\n", Hear().at("id").as_int64()));
  asker.join();
}

TEST_F(QmpClientTest, TheEndWakesWhoeverWaits) {
  std::thread asker([&] {
    auto answer = client_->Execute("stop", {}, Deadline::Never());
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, Code::kUnavailable);
  });
  (void)Hear();
  (void)Hear();
  vmm_.Reset();
  asker.join();
  EXPECT_FALSE(client_->Execute("stop", {}, Soon()));
}

TEST_F(QmpClientTest, NonsenseEndsTheConnection) {
  Say("this is not JSON\n");
  pump_.join();
  EXPECT_EQ(client_->Execute("stop", {}, Soon()).error().code, Code::kUnavailable);
}

TEST(QmpConnectTest, FailsInTimeAndByName) {
  auto silent = SocketPair();
  EXPECT_EQ(
      QmpClient::Connect(std::move(silent->first), Deadline::After(milliseconds(20))).error().code,
      Code::kDeadlineExceeded);
  auto closed = SocketPair();
  closed->second.Reset();
  EXPECT_EQ(QmpClient::Connect(std::move(closed->first), Soon()).error().code, Code::kUnavailable);
}

}  // namespace
}  // namespace wrenn::vmm
