// What processes are given to read, and terminals.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/ioctl.h>

#include "guest/agent/process_service_fixture.h"

namespace wrenn::guest {
namespace {

TEST(ProcessService, TenMegabytesOfStdinArrive) {
  TestAgent agent;
  TestStream stream = agent.Start(TestAgent::Shell("sha256sum"));
  const uint32_t pid = PidOf(stream);
  const std::string data = RandomBytes(10 << 20);
  constexpr size_t kPiece = 1 << 20;
  for (size_t at = 0; at < data.size(); at += kPiece) {
    json::object request = Select(pid);
    request["input"] = wire::ToJson(wire::ProcessInput{false, data.substr(at, kPiece)});
    auto sent = agent.Call("process.Process/SendInput", request);
    ASSERT_TRUE(sent) << sent.error().message;
  }
  ASSERT_TRUE(agent.Call("process.Process/CloseStdin", Select(pid)));
  const RunResult result = Collect(stream);
  TempFolder folder;
  WriteText(folder / "data", data);
  EXPECT_EQ(result.out, agent.Run("sha256sum < " + (folder / "data")).out);
}

TEST(ProcessService, InputThatWaitsForItsTurnCanBeGivenUp) {
  TestAgent agent;
  TestStream stream = agent.Start(TestAgent::Shell("read line; cat"));
  const uint32_t pid = PidOf(stream);
  const auto send = [&](wire::HttpClient& http, const std::string& text, std::string limit) {
    wire::RequestHead head = agent.Head("POST", "/process.Process/SendInput");
    head.fields.Add("Content-Type", std::string(wire::kConnectUnaryType));
    head.fields.Add("Connect-Timeout-Ms", std::move(limit));
    json::object request = Select(pid);
    request["input"] = wire::ToJson(wire::ProcessInput{false, text});
    const std::string body = json::serialize(request);
    auto writer = http.StartRequest(std::move(head), body.size(), Soon());
    ASSERT_TRUE(writer && writer->Write(body, Soon()) && writer->Finish(Soon()));
  };
  // One that fills the pipe of a program that does not read it, and waits.
  ASSERT_EQ(::kill(static_cast<pid_t>(pid), SIGSTOP), 0);
  auto first = agent.Connect();
  send(*first, "\n" + std::string(200'000, 'a'), "0");
  const UniqueFd pipe(::open(fmt::format("/proc/{}/fd/0", pid).c_str(), O_RDONLY | O_NONBLOCK));
  const Deadline full = Soon();
  for (int waiting = 0; waiting < 65536 && !full.HasPassed();) {
    ASSERT_EQ(::ioctl(pipe.get(), FIONREAD, &waiting), 0);
  }
  // The second has a limit, the third a client that goes away.
  auto second = agent.Connect();
  send(*second, "b", "200");
  ASSERT_TRUE(second->ReadHead(Soon()));
  EXPECT_EQ(second->response().status, HttpStatus(Code::kDeadlineExceeded));
  auto third = agent.Connect();
  send(*third, "c", "0");
  third.reset();
  ASSERT_EQ(::kill(static_cast<pid_t>(pid), SIGCONT), 0);
  ASSERT_TRUE(first->ReadHead(Soon()));
  EXPECT_EQ(first->response().status, 200);
  json::object last = Select(pid);
  last["input"] = wire::ToJson(wire::ProcessInput{false, "d"});
  ASSERT_TRUE(agent.Call("process.Process/SendInput", last));
  ASSERT_TRUE(agent.Call("process.Process/CloseStdin", Select(pid)));
  EXPECT_EQ(Collect(stream).out, std::string(200'000, 'a') + "d");
}

TEST(ProcessService, StreamInputFeedsAProcess) {
  TestAgent agent;
  TestStream stream = agent.Start(TestAgent::Shell("cat"));
  const uint32_t pid = PidOf(stream);
  wire::RequestHead head = agent.Head("POST", "/process.Process/StreamInput");
  head.fields.Add("Content-Type", std::string(wire::kConnectStreamType));
  json::object start;
  start["start"] = Select(pid);
  std::string body = wire::FormatEnvelope(0, json::serialize(start)) +
                     wire::FormatEnvelope(0, R"({"data":{"input":{"stdin":"aGVsbG8="}}})") +
                     wire::FormatEnvelope(0, R"({"keepalive":{}})");
  EXPECT_EQ(agent.Send(std::move(head), body).head.status, 200);
  ASSERT_TRUE(agent.Call("process.Process/CloseStdin", Select(pid)));
  EXPECT_EQ(Collect(stream).out, "hello");
}

TEST(ProcessService, WithoutStdinThereIsNothingToRead) {
  TestAgent agent;
  wire::StartRequest request = TestAgent::Shell("cat; readlink /proc/self/fd/0");
  request.stdin_open = false;
  const RunResult result = agent.Run(request);
  EXPECT_EQ(result.out, "/dev/null\n");
}

TEST(ProcessService, ATerminalIsOne) {
  TestAgent agent;
  wire::StartRequest request = TestAgent::Shell(
      "stty size; test -t 0 && echo tty; echo $TERM; read line; echo got $line; "
      "trap 'stty size; exit 0' WINCH; echo ready; while :; do read x; done");
  request.pty = wire::PtySize{100, 30};
  TestStream stream = agent.Start(request);
  const uint32_t pid = PidOf(stream);
  std::string seen;
  const auto wait_for = [&](std::string_view text) {
    while (seen.find(text) == std::string::npos) {
      const auto event = stream.NextEvent();
      if (!event) return false;
      if (const auto* output = std::get_if<wire::ProcessOutput>(&*event)) {
        EXPECT_EQ(output->stream, wire::ProcessOutput::Stream::kPty);
        seen += output->data;
      }
    }
    return true;
  };
  ASSERT_TRUE(wait_for("30 100\r\ntty\r\nxterm-256color\r\n")) << seen;
  json::object keys = Select(pid);
  keys["input"] = wire::ToJson(wire::ProcessInput{true, "hi\n"});
  ASSERT_TRUE(agent.Call("process.Process/SendInput", keys));
  ASSERT_TRUE(wait_for("got hi\r\nready\r\n")) << seen;
  json::object resize = Select(pid);
  resize["pty"] = wire::ToJson(wire::PtySize{120, 40});
  ASSERT_TRUE(agent.Call("process.Process/Update", resize));
  ASSERT_TRUE(wait_for("40 120\r\n")) << seen;
  const RunResult rest = Collect(stream);
  ASSERT_TRUE(rest.ended);
  EXPECT_EQ(rest.ended->exit_code, 0);
}

}  // namespace
}  // namespace wrenn::guest
