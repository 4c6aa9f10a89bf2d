// Commands and terminals over WebSockets, against a real agent.
#include "api/agent_fixture.h"

#include <thread>

namespace wrenn::api {
namespace {

using StreamsTest = AgentApiTest;

TEST_F(StreamsTest, StreamsCarryOutputExitAndClose) {
  auto socket = Open(sandbox_ + "/exec/stream");
  ASSERT_TRUE(socket) << socket.error().message;
  socket->Send(Start("echo out; exec >&-; echo err >&2; exit 5"));
  EXPECT_EQ(socket->Receive().at("type"), "start");
  std::string out;
  std::string err;
  json::object message;
  while ((message = socket->Receive()).at("type") == "stdout" || message.at("type") == "stderr") {
    (message.at("type") == "stdout" ? out : err) += message.at("data").as_string();
  }
  EXPECT_EQ(out, "out\n");
  EXPECT_EQ(err, "err\n");
  EXPECT_EQ(message.at("type"), "exit");
  EXPECT_EQ(message.at("exit_code"), 5);
  EXPECT_EQ(message.at("timed_out"), false);
  EXPECT_EQ(socket->Receive().at("status"), 1000);
}

TEST_F(StreamsTest, StreamsTakeInputAsTextBase64AndBinary) {
  auto socket = Open(sandbox_ + "/exec/stream");
  ASSERT_TRUE(socket);
  socket->Send(Start("cat", {{"stdin", true}}));
  EXPECT_EQ(socket->Receive().at("type"), "start");
  socket->Send({{"type", "stdin"}, {"data", "texté "}});
  socket->Send({{"type", "stdin"}, {"data", Base64Encode("\xff\xfe")}, {"encoding", "base64"}});
  ASSERT_TRUE(socket->socket->SendBinary(" binary", Soon()));
  socket->Send({{"type", "stdin_close"}});
  std::string out;
  json::object message;
  while ((message = socket->Receive()).at("type") == "stdout") {
    const std::string data(message.at("data").as_string());
    out += message.contains("encoding") ? *Base64Decode(data) : data;
  }
  EXPECT_EQ(out, "texté \xff\xfe binary");
  EXPECT_EQ(message.at("exit_code"), 0);
}

TEST_F(StreamsTest, MegabytesThroughCatNeitherBlockNorChange) {
  auto socket = Open(sandbox_ + "/exec/stream");
  ASSERT_TRUE(socket);
  socket->Send(Start("cat", {{"stdin", true}}));
  EXPECT_EQ(socket->Receive().at("type"), "start");
  std::string sent;
  for (int i = 0; sent.size() < (4 << 20); ++i) sent += std::to_string(i) + "é\n";
  std::thread sender([&] {
    for (size_t at = 0; at < sent.size(); at += 50'000) {
      ASSERT_TRUE(socket->socket->SendBinary(std::string_view(sent).substr(at, 50'000), Soon()));
    }
    socket->Send({{"type", "stdin_close"}});
  });
  std::string out;
  json::object message;
  while ((message = socket->Receive()).at("type") == "stdout") {
    EXPECT_FALSE(message.contains("encoding"));  // no chunk tears a character
    out += message.at("data").as_string();
  }
  sender.join();
  EXPECT_TRUE(out == sent);
  EXPECT_EQ(message.at("type"), "exit") << json::serialize(message);
}

TEST_F(StreamsTest, AVanishedClientLeavesTheProcessToAttachTo) {
  {
    auto socket = Open(sandbox_ + "/exec/stream");
    ASSERT_TRUE(socket);
    socket->Send(Start("while :; do echo tick; sleep 0.05; done", {{"tag", "ticker"}}));
    EXPECT_EQ(socket->Receive().at("type"), "start");
  }
  auto again = Open(sandbox_ + "/exec/stream");
  ASSERT_TRUE(again);
  again->Send({{"type", "attach"}, {"tag", "ticker"}});
  EXPECT_EQ(again->Receive().at("type"), "start");
  EXPECT_EQ(again->Receive().at("data"), "tick\n");
  again->Send({{"type", "stop"}});
  json::object message;
  while ((message = again->Receive()).at("type") == "stdout") {
  }
  EXPECT_EQ(message.at("type"), "exit");
  EXPECT_EQ(message.at("exit_code"), -1);
}

TEST_F(StreamsTest, AClientThatVanishesWhileItsInputWaitsEndsItsSession) {
  {
    auto socket = Open(sandbox_ + "/exec/stream");
    ASSERT_TRUE(socket);
    socket->Send(Start("sleep 60", {{"stdin", true}, {"tag", "deaf"}}));
    EXPECT_EQ(socket->Receive().at("type"), "start");
    const std::string piece(50'000, 'x');
    // Until the server takes no more, since the process does not.
    while (socket->socket->SendBinary(piece, Deadline::After(std::chrono::milliseconds(500)))) {
    }
  }
  // The session's thread is not bound to the process: draining needs no more than the client's end.
  EXPECT_TRUE(api_->Drain(Soon()));
}

TEST_F(StreamsTest, StreamsEndWithTheSandboxAndSayWhy) {
  auto socket = Open(sandbox_ + "/exec/stream");
  ASSERT_TRUE(socket);
  socket->Send(Start("sleep 60"));
  EXPECT_EQ(socket->Receive().at("type"), "start");
  Call("POST", sandbox_ + "/stop");
  ASSERT_TRUE(agent_->Kill(Soon()));
  const json::object error = socket->Receive();
  EXPECT_EQ(error.at("type"), "error");
  EXPECT_EQ(error.at("code"), "aborted");
  EXPECT_EQ(socket->Receive().at("status"), 1011);
}

TEST_F(StreamsTest, StreamsEndWithTheServer) {
  auto socket = Open(sandbox_ + "/exec/stream");
  ASSERT_TRUE(socket);
  socket->Send(Start("sleep 60"));
  EXPECT_EQ(socket->Receive().at("type"), "start");
  std::thread drain([this] { EXPECT_TRUE(api_->Drain(Soon())); });
  EXPECT_EQ(socket->Receive().at("status"), 1001);
  drain.join();
}

TEST_F(StreamsTest, StreamsRefuseWhatTheyDoNotKnow) {
  const auto refusal = [this](std::string_view first) {
    auto socket = Open(sandbox_ + "/exec/stream");
    EXPECT_TRUE(socket);
    EXPECT_TRUE(socket->socket->SendText(first, Soon()));
    const json::object error = socket->Receive();
    EXPECT_EQ(error.at("type"), "error") << first;
    EXPECT_EQ(socket->Receive().at("status"), 1008) << first;
    return std::string(error.at("code").as_string());
  };
  EXPECT_EQ(refusal("no json"), "invalid_argument");
  EXPECT_EQ(refusal(R"({"type":"stdin","data":"x"})"), "invalid_argument");
  EXPECT_EQ(refusal(R"({"type":"start"})"), "invalid_argument");
  EXPECT_EQ(refusal(R"({"type":"start","cmd":"/no/such"})"), "invalid_argument");
  EXPECT_EQ(refusal(R"({"type":"attach"})"), "invalid_argument");
  EXPECT_EQ(refusal(R"({"type":"attach","tag":"nonesuch"})"), "not_found");

  auto socket = Open(sandbox_ + "/exec/stream");
  ASSERT_TRUE(socket);
  socket->Send(Start("sleep 60"));
  EXPECT_EQ(socket->Receive().at("type"), "start");
  socket->Send({{"type", "dance"}});
  EXPECT_EQ(socket->Receive().at("type"), "error");
  socket->Send({{"type", "signal"}, {"signal", "SIGTERM"}});
  EXPECT_EQ(socket->Receive().at("type"), "exit");
}

TEST_F(StreamsTest, StreamTimeLimitIsSaid) {
  auto socket = Open(sandbox_ + "/exec/stream");
  ASSERT_TRUE(socket);
  socket->Send(Start("sleep 60", {{"timeout_sec", 1}}));
  EXPECT_EQ(socket->Receive().at("type"), "start");
  const json::object exit = socket->Receive();
  EXPECT_EQ(exit.at("type"), "exit") << json::serialize(exit);
  EXPECT_EQ(exit.at("timed_out"), true);
  EXPECT_EQ(exit.at("exit_code"), -1);
}

TEST_F(StreamsTest, TerminalsTakeKeysAndSizes) {
  auto socket = Open(sandbox_ + "/pty");
  ASSERT_TRUE(socket);
  socket->Send(
      AsUser({{"type", "start"}, {"cmd", "/bin/sh"}, {"cols", 90}, {"rows", 30}, {"tag", "term"}}));
  EXPECT_EQ(socket->Receive().at("type"), "start");
  const auto type = [&](std::string_view keys) {
    ASSERT_TRUE(socket->socket->SendBinary(keys, Soon()));
  };
  const auto see = [&](std::string_view text) {
    while (socket->binary.find(text) == std::string::npos) {
      auto message = socket->socket->Receive(Soon());
      ASSERT_TRUE(message) << "not seen: " << text << " in " << socket->binary;
      socket->binary += message->data;
    }
  };
  type("test -t 0 && echo tty-$((40+2)); stty size; echo $TERM\n");
  see("tty-42");
  see("30 90");
  see("xterm-256color");
  socket->Send({{"type", "resize"}, {"cols", 117}, {"rows", 43}});
  // The size is another message's matter than the keys: ask until it has arrived.
  type("until stty size | grep '43 117'; do :; done\n");
  see("43 117");
  // Its output shows that it is in the foreground: a key before that ends nothing.
  type("sh -c 'echo in-$((2+3)); exec sleep 100'\n");
  see("in-5");
  type("\x03");
  type("exit 9\n");
  const json::object exit = socket->Receive();
  EXPECT_EQ(exit.at("type"), "exit");
  EXPECT_EQ(exit.at("exit_code"), 9);
}

TEST_F(StreamsTest, TerminalsCanBeAttachedTo) {
  {
    auto socket = Open(sandbox_ + "/pty");
    ASSERT_TRUE(socket);
    socket->Send(AsUser({{"type", "start"}, {"tag", "shell"}}));
    EXPECT_EQ(socket->Receive().at("type"), "start");
  }
  auto again = Open(sandbox_ + "/pty");
  ASSERT_TRUE(again);
  again->Send({{"type", "attach"}, {"tag", "shell"}, {"cols", 100}, {"rows", 20}});
  EXPECT_EQ(again->Receive().at("type"), "start");
  ASSERT_TRUE(again->socket->SendBinary("stty size; exit\n", Soon()));
  EXPECT_EQ(again->Receive().at("type"), "exit");
  EXPECT_NE(again->binary.find("20 100"), std::string::npos) << again->binary;
}

}  // namespace
}  // namespace wrenn::api
