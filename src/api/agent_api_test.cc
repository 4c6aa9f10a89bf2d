// The routes that reach into a sandbox, against a real agent: wrenn-init as a process on this machine.
#include <fcntl.h>
#include <pwd.h>
#include <unistd.h>

#include <thread>

#include "api/api_fixture.h"
#include "base/encoding.h"
#include "os/process.h"

namespace wrenn::api {
namespace {

class AgentApiTest : public ApiFixture {
 protected:
  void SetUp() override {
    ApiFixture::SetUp();
    manager_.agent_token = RandomHex(32);
    int pipe[2];
    ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
    const UniqueFd reading(pipe[0]);
    UniqueFd writing(pipe[1]);
    ASSERT_TRUE(SetNonBlocking(reading.get()));
    os::SpawnOptions options;
    options.argv = {WRENN_INIT_PROGRAM, "--agent", "--listen", "127.0.0.1:0", "--token",
                    manager_.agent_token};
    options.stdout_fd = writing.get();
    options.stderr_fd = STDERR_FILENO;
    options.die_with_parent = true;
    auto agent = os::Process::Spawn(options);
    ASSERT_TRUE(agent) << agent.error().ToString();
    agent_ = std::make_unique<os::Process>(std::move(*agent));
    writing.Reset();
    std::string line;
    while (!line.ends_with('\n')) {
      char buffer[256];
      auto got = ReadSome(reading.get(), buffer, Soon());
      ASSERT_TRUE(got && *got > 0);
      line.append(buffer, *got);
    }
    manager_.agent_port = static_cast<uint16_t>(std::stoi(line.substr(line.rfind(':') + 1)));
    sandbox_ = MakeSandbox();
    folder_ = directory_->path() + "/guest";
    ASSERT_TRUE(os::MakeDirectory(folder_));
    const passwd* user = ::getpwuid(::geteuid());
    user_ = user ? user->pw_name : "root";
  }

  void TearDown() override {
    ApiFixture::TearDown();
    if (agent_) [[maybe_unused]] auto ended = agent_->Kill(Soon());
  }

  // Everything runs as who runs the test, so that the test's folder is within reach.
  json::object AsUser(json::object object) const {
    object["user"] = user_;
    return object;
  }
  Answer Post(const std::string& route, const json::object& body) {
    return Call("POST", sandbox_ + route, json::serialize(body));
  }
  Answer Exec(json::object body) { return Post("/exec", AsUser(std::move(body))); }
  Answer Shell(std::string_view script, json::object more = {}) {
    more["cmd"] = "/bin/sh";
    more["args"] = json::array{"-c", script};
    return Exec(std::move(more));
  }
  json::object Start(std::string_view script, json::object more = {}) const {
    more["type"] = "start";
    more["cmd"] = "/bin/sh";
    more["args"] = json::array{"-c", script};
    return AsUser(std::move(more));
  }
  std::string Query(const std::string& path) const {
    return "?path=" + PercentEncode(path) + "&user=" + user_;
  }

  std::unique_ptr<os::Process> agent_;
  std::string sandbox_;
  std::string folder_;
  std::string user_;
};

TEST_F(AgentApiTest, ExecAnswersWithBothStreamsAndTheExitCode) {
  const json::value result = Shell("echo out; echo err >&2; exit 3").Json();
  EXPECT_EQ(result.at("stdout"), "out\n");
  EXPECT_EQ(result.at("stderr"), "err\n");
  EXPECT_EQ(result.at("exit_code"), 3);
  EXPECT_EQ(result.at("encoding"), "utf-8");
  EXPECT_EQ(result.at("truncated"), false);
  EXPECT_EQ(result.at("timed_out"), false);
  EXPECT_GE(result.at("duration_ms").as_int64(), 0);
}

TEST_F(AgentApiTest, ExecHasEnvironmentFolderAndInput) {
  const json::value result =
      Shell("echo $G; pwd; cat", {{"envs", {{"G", "hé"}}}, {"cwd", "/"}, {"stdin", "in\n"}}).Json();
  EXPECT_EQ(result.at("stdout"), "hé\n/\nin\n");
}

TEST_F(AgentApiTest, LargeInputAndOutputDoNotWaitForEachOther) {
  const std::string input(700'000, 'x');
  const json::value result = Shell("cat", {{"stdin", input}}).Json();
  EXPECT_TRUE(result.at("stdout") == json::value(input));
}

TEST_F(AgentApiTest, InputThatNobodyReadsIsNoFailure) {
  const Answer answer = Shell("exit 7", {{"stdin", std::string(700'000, 'x')}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.Json().at("exit_code"), 7);
}

TEST_F(AgentApiTest, BinaryOutputAndInputAreBase64) {
  const json::value result =
      Shell("cat; printf plain >&2", {{"stdin", "/wA="}, {"stdin_encoding", "base64"}}).Json();
  EXPECT_EQ(result.at("encoding"), "base64");
  EXPECT_EQ(result.at("stdout"), "/wA=");
  EXPECT_EQ(result.at("stderr").as_string(), Base64Encode("plain"));
}

TEST_F(AgentApiTest, TooMuchOutputIsCutAndSaid) {
  const json::value result =
      Shell("head -c 17000000 /dev/zero | tr '\\0' 'a'; exit 4", {{"timeout_sec", 0}}).Json();
  EXPECT_EQ(result.at("truncated"), true);
  EXPECT_EQ(result.at("stdout").as_string().size(), 16u << 20);
  EXPECT_EQ(result.at("exit_code"), 4);
}

TEST_F(AgentApiTest, TimeLimitKillsAndIsSaid) {
  const json::value result = Shell("echo begun; sleep 100 & sleep 100", {{"timeout_sec", 1}}).Json();
  EXPECT_EQ(result.at("exit_code"), -1);
  EXPECT_EQ(result.at("timed_out"), true);
  EXPECT_EQ(result.at("status"), "timed out");
  EXPECT_EQ(result.at("stdout"), "begun\n");
}

TEST_F(AgentApiTest, WhatTheSandboxLacksIsTheRequestsFault) {
  const Answer program = Exec({{"cmd", "no-such-program"}});
  EXPECT_EQ(program.status, 400);
  EXPECT_NE(program.ErrorMessage().find("no-such-program"), std::string::npos) << program.body;
  const Answer folder = Exec({{"cmd", "pwd"}, {"cwd", "/no/such"}});
  EXPECT_EQ(folder.status, 400);
  EXPECT_NE(folder.ErrorMessage().find("/no/such"), std::string::npos) << folder.body;
  const Answer user = Post("/exec", {{"cmd", "true"}, {"user", "nobody-here"}});
  EXPECT_EQ(user.status, 400) << user.body;
  EXPECT_NE(user.ErrorMessage().find("nobody-here"), std::string::npos) << user.body;
}

TEST_F(AgentApiTest, BadExecRequestsAreRefusedByName) {
  const auto message = [this](json::object body) {
    const Answer answer = Post("/exec", std::move(body));
    EXPECT_EQ(answer.status, 400) << answer.body;
    return answer.ErrorMessage();
  };
  EXPECT_EQ(message({}), "cmd is required");
  EXPECT_EQ(message({{"cmd", "ls"}, {"args", "x"}}), "args must be a list");
  EXPECT_EQ(message({{"cmd", std::string("l\0s", 3)}}), "cmd holds a zero byte");
  EXPECT_NE(message({{"cmd", "ls"}, {"tag", "Not A Tag"}}).find("tag must be"), std::string::npos);
  EXPECT_NE(message({{"cmd", "ls"}, {"timeout_sec", -5}}).find("timeout_sec"), std::string::npos);
}

TEST_F(AgentApiTest, BackgroundCommandsAreListedSignalledAndKilled) {
  const Answer started = Exec({{"cmd", "/bin/sh"}, {"background", true}, {"tag", "bg"},
                               {"args", {"-c", "trap 'exit 0' TERM; cat > " + folder_ + "/in; "
                                         "while :; do sleep 0.1; done"}}, {"stdin", "given"}});
  ASSERT_EQ(started.status, 202) << started.body;
  const std::string pid = std::to_string(started.Json().at("pid").as_int64());
  json::value list = Call("GET", sandbox_ + "/processes").Json();
  ASSERT_EQ(list.as_array().size(), 1u);
  EXPECT_EQ(list.at(0).at("tag"), "bg");
  EXPECT_EQ(list.at(0).at("cmd"), "/bin/sh");
  EXPECT_EQ(Post("/processes/bg/signal", {{"signal", "NOPE"}}).status, 400);
  EXPECT_EQ(Post("/processes/bg/signal", {{"signal", "SIGTERM"}}).status, 204);
  const Deadline limit = Soon();
  while (!Call("GET", sandbox_ + "/processes").Json().as_array().empty() && !limit.HasPassed()) {
  }
  EXPECT_EQ(Call("DELETE", sandbox_ + "/processes/" + pid).status, 404);
  EXPECT_EQ(Call("DELETE", sandbox_ + "/processes/A%2FB").status, 404);
  EXPECT_EQ(*ReadFile(folder_ + "/in"), "given");
}

TEST_F(AgentApiTest, AnAgentThatCannotBeReachedIs503) {
  ASSERT_TRUE(agent_->Kill(Soon()));
  const Answer answer = Exec({{"cmd", "true"}});
  EXPECT_EQ(answer.status, 503) << answer.body;
}

TEST_F(AgentApiTest, ASandboxThatEndsMeanwhileIs409WithItsReason) {
  std::thread ender([this] {
    const Deadline limit = Soon();
    while (Call("GET", sandbox_ + "/processes").Json().as_array().empty() && !limit.HasPassed()) {
    }
    Call("POST", sandbox_ + "/stop");
    [[maybe_unused]] auto killed = agent_->Kill(Soon());
  });
  const Answer answer = Exec({{"cmd", "sleep"}, {"args", {"60"}}});
  ender.join();
  EXPECT_EQ(answer.status, 409) << answer.body;
  EXPECT_NE(answer.ErrorMessage().find("stopped on request"), std::string::npos) << answer.body;
}

// --- exec/stream ---

TEST_F(AgentApiTest, StreamsCarryOutputExitAndClose) {
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

TEST_F(AgentApiTest, StreamsTakeInputAsTextBase64AndBinary) {
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

TEST_F(AgentApiTest, MegabytesThroughCatNeitherBlockNorChange) {
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

TEST_F(AgentApiTest, AVanishedClientLeavesTheProcessToAttachTo) {
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

TEST_F(AgentApiTest, AClientThatVanishesWhileItsInputWaitsEndsItsSession) {
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

TEST_F(AgentApiTest, StreamsEndWithTheSandboxAndSayWhy) {
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

TEST_F(AgentApiTest, StreamsEndWithTheServer) {
  auto socket = Open(sandbox_ + "/exec/stream");
  ASSERT_TRUE(socket);
  socket->Send(Start("sleep 60"));
  EXPECT_EQ(socket->Receive().at("type"), "start");
  std::thread drain([this] { EXPECT_TRUE(api_->Drain(Soon())); });
  EXPECT_EQ(socket->Receive().at("status"), 1001);
  drain.join();
}

TEST_F(AgentApiTest, StreamsRefuseWhatTheyDoNotKnow) {
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

TEST_F(AgentApiTest, StreamTimeLimitIsSaid) {
  auto socket = Open(sandbox_ + "/exec/stream");
  ASSERT_TRUE(socket);
  socket->Send(Start("sleep 60", {{"timeout_sec", 1}}));
  EXPECT_EQ(socket->Receive().at("type"), "start");
  const json::object exit = socket->Receive();
  EXPECT_EQ(exit.at("type"), "exit") << json::serialize(exit);
  EXPECT_EQ(exit.at("timed_out"), true);
  EXPECT_EQ(exit.at("exit_code"), -1);
}

// --- pty ---

TEST_F(AgentApiTest, TerminalsTakeKeysAndSizes) {
  auto socket = Open(sandbox_ + "/pty");
  ASSERT_TRUE(socket);
  socket->Send(AsUser({{"type", "start"}, {"cmd", "/bin/sh"}, {"cols", 90}, {"rows", 30},
                       {"tag", "term"}}));
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
  type("sleep 100\n\x03");
  type("exit 9\n");
  const json::object exit = socket->Receive();
  EXPECT_EQ(exit.at("type"), "exit");
  EXPECT_EQ(exit.at("exit_code"), 9);
}

TEST_F(AgentApiTest, TerminalsCanBeAttachedTo) {
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

// --- files ---

std::string Multipart(const std::string& path, const std::string& user, std::string_view content) {
  std::string body;
  for (const auto& [name, value] : {std::pair<std::string, std::string>{"path", path},
                                    {"user", user}}) {
    body += "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n";
  }
  body += "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n";
  return body.append(content).append("\r\n--b--\r\n");
}

TEST_F(AgentApiTest, FilesGoInAndOutByMultipart) {
  for (const char* route : {"/files/write", "/files/stream/write"}) {
    const std::string path = folder_ + "/deep" + PercentEncode(route) + "/f";
    std::string content;
    for (int i = 0; i < 300'000; ++i) content.push_back(static_cast<char>(i * 7));
    wire::RequestHead head = Head("POST", sandbox_ + route);
    head.fields.Add("Content-Type", "multipart/form-data; boundary=b");
    const Answer written = Send(head, Multipart(path, user_, content));
    EXPECT_EQ(written.status, 204) << written.body;
    for (const char* read : {"/files/read", "/files/stream/read"}) {
      const Answer answer = Post(read, AsUser({{"path", path}}));
      EXPECT_EQ(answer.status, 200);
      EXPECT_TRUE(answer.body == content) << read;
      EXPECT_EQ(answer.fields.Get("content-length"), "300000");
    }
  }
}

TEST_F(AgentApiTest, FilesGoInAndOutRawAndInRanges) {
  const std::string path = folder_ + "/a b+c%é";
  wire::RequestHead head = Head("POST", sandbox_ + "/files/stream/write" + Query(path));
  head.fields.Add("Content-Type", "application/octet-stream");
  EXPECT_EQ(Send(head, "0123456789").status, 204);
  EXPECT_EQ(*ReadFile(path), "0123456789");
  EXPECT_EQ(Call("GET", sandbox_ + "/files/stream/read" + Query(path)).body, "0123456789");
  wire::RequestHead range = Head("GET", sandbox_ + "/files/stream/read" + Query(path));
  range.fields.Add("Range", "bytes=2-4");
  const Answer part = Send(range, {});
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.body, "234");
  EXPECT_EQ(part.fields.Get("content-range"), "bytes 2-4/10");
  range.fields.Set("Range", "bytes=20-");
  EXPECT_EQ(Send(range, {}).status, 416);
  EXPECT_EQ(Send(head, "").status, 204);
  const Answer empty = Post("/files/read", AsUser({{"path", path}}));
  EXPECT_EQ(empty.status, 200);
  EXPECT_EQ(empty.fields.Get("content-length"), "0");
}

TEST_F(AgentApiTest, SmallRoutesNameTheLargeOnes) {
  const std::string path = folder_ + "/large";
  const std::string content(33 << 20, 'x');
  wire::RequestHead head = Head("POST", sandbox_ + "/files/write");
  head.fields.Add("Content-Type", "multipart/form-data; boundary=b");
  const Answer refused = Send(head, Multipart(path, user_, content));
  EXPECT_EQ(refused.status, 413);
  EXPECT_NE(refused.ErrorMessage().find("/files/stream/write"), std::string::npos);
  EXPECT_FALSE(os::Exists(path));
  head.target = sandbox_ + "/files/stream/write";
  EXPECT_EQ(Send(head, Multipart(path, user_, content)).status, 204);
  const Answer large = Post("/files/read", AsUser({{"path", path}}));
  EXPECT_EQ(large.status, 413);
  EXPECT_NE(large.ErrorMessage().find("/files/stream/read"), std::string::npos);
  EXPECT_EQ(Post("/files/stream/read", AsUser({{"path", path}})).body.size(), content.size());
}

TEST_F(AgentApiTest, ACutUploadLeavesTheOldFile) {
  const std::string path = folder_ + "/file";
  ASSERT_TRUE(WriteFileAtomically(path, "old"));
  const auto cut = [&](std::string_view type, const std::string& target, std::string body) {
    auto connection = wire::ConnectTcp("127.0.0.1", port_, Soon());
    ASSERT_TRUE(connection);
    wire::ByteStream stream(std::move(*connection));
    wire::RequestHead head = Head("POST", target);
    head.fields.Add("Content-Type", std::string(type));
    head.fields.Add("Content-Length", "10000000");
    ASSERT_TRUE(stream.Write(wire::FormatRequestHead(head) + std::move(body), Soon()));
  };
  cut("application/octet-stream", sandbox_ + "/files/stream/write" + Query(path),
      std::string(1 << 20, 'n'));
  cut("multipart/form-data; boundary=b", sandbox_ + "/files/stream/write",
      Multipart(path, user_, std::string(1 << 20, 'n')).substr(0, 900'000));
  ASSERT_TRUE(api_->Drain(Soon()));  // both requests are over then
  EXPECT_EQ(*ReadFile(path), "old");
  const Deadline limit = Soon();
  while (os::ListDirectory(folder_)->size() > 1 && !limit.HasPassed()) {
  }
  EXPECT_EQ(*os::ListDirectory(folder_), std::vector<std::string>{"file"});
}

TEST_F(AgentApiTest, BadUploadsAreRefused) {
  const auto write = [this](std::string_view type, std::string_view body,
                            std::string_view query = {}) {
    wire::RequestHead head = Head("POST", sandbox_ + "/files/write" + std::string(query));
    head.fields.Add("Content-Type", std::string(type));
    return Send(head, body).status;
  };
  EXPECT_EQ(write("multipart/form-data; boundary=x", "garbage"), 400);
  EXPECT_EQ(write("multipart/form-data", "x"), 400);
  EXPECT_EQ(write("application/octet-stream", "x"), 400);
  EXPECT_EQ(write("multipart/form-data; boundary=b",
                  "--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--b--\r\n"), 400);
  EXPECT_EQ(write("application/octet-stream", "x", "?path=/a%00b"), 400);
  EXPECT_EQ(write("application/octet-stream", "x", "?path=/" + std::string(5000, 'a')), 400);
}

TEST_F(AgentApiTest, MissingFilesFoldersAndDevices) {
  EXPECT_EQ(Post("/files/read", AsUser({{"path", folder_ + "/none"}})).status, 404);
  EXPECT_EQ(Post("/files/read", AsUser({{"path", folder_}})).status, 400);
  EXPECT_EQ(Post("/files/read", {{"path", std::string("/a\0b", 4)}}).status, 400);
  EXPECT_EQ(Post("/files/read", {}).ErrorMessage(), "path is required");
}

TEST_F(AgentApiTest, FoldersAreMadeListedMovedAndRemoved) {
  const std::string top = folder_ + "/top";
  const Answer made = Post("/files/mkdir", AsUser({{"path", top + "/sub"}}));
  EXPECT_EQ(made.status, 201) << made.body;
  EXPECT_EQ(made.Json().at("type"), "directory");
  EXPECT_EQ(Post("/files/mkdir", AsUser({{"path", top + "/sub"}})).status, 409);
  ASSERT_TRUE(WriteFileAtomically(top + "/sub/one", "1"));
  json::value list = Call("GET", sandbox_ + "/files/list" + Query(top)).Json();
  EXPECT_EQ(list.as_array().size(), 1u);
  list = Call("GET", sandbox_ + "/files/list" + Query(top) + "&depth=2").Json();
  ASSERT_EQ(list.as_array().size(), 2u);
  EXPECT_EQ(list.at(1).at("path").as_string(), top + "/sub/one");
  EXPECT_EQ(list.at(1).at("type"), "file");
  const Answer moved = Post("/files/move", AsUser({{"source", top + "/sub/one"},
                                                   {"destination", top + "/new/two"}}));
  EXPECT_EQ(moved.status, 200) << moved.body;
  EXPECT_EQ(Call("GET", sandbox_ + "/files/stat" + Query(top + "/new/two")).Json().at("size"), 1);
  EXPECT_EQ(Call("GET", sandbox_ + "/files/stat" + Query(top + "/sub/one")).status, 404);
  EXPECT_EQ(Call("GET", sandbox_ + "/files/stat").status, 400);
  EXPECT_EQ(Call("GET", sandbox_ + "/files/list" + Query(top) + "&depth=0").status, 400);
  EXPECT_EQ(Post("/files/remove", AsUser({{"path", top}})).status, 204);
  EXPECT_FALSE(os::Exists(top));
}

TEST_F(AgentApiTest, MetricsComeFromTheGuest) {
  const json::value metrics = Call("GET", sandbox_ + "/metrics").Json();
  EXPECT_GT(metrics.at("memory_total_bytes").to_number<int64_t>(), 0);
  EXPECT_GT(metrics.at("cpu_count").to_number<int64_t>(), 0);
}

}  // namespace
}  // namespace wrenn::api
