#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/ioctl.h>

#include <thread>

#include "guest/agent/test_agent.h"

namespace wrenn::guest {
namespace {

using testing::HasSubstr;

json::object Select(uint32_t pid) {
  json::object request;
  request["process"] = {{"pid", pid}};
  return request;
}

// Reads the start event off a stream.
uint32_t PidOf(TestStream& stream) {
  const auto event = stream.NextEvent();
  if (!event || !std::holds_alternative<wire::ProcessStarted>(*event)) {
    ADD_FAILURE() << "no start event";
    return 0;
  }
  return std::get<wire::ProcessStarted>(*event).pid;
}

// Waits until the process is gone, whoever was to reap it.
bool WaitGone(pid_t pid) {
  const Deadline deadline = Soon();
  while (::kill(pid, 0) == 0) {
    const auto stat = FileText("/proc/" + std::to_string(pid) + "/stat");
    if (stat.find(") Z ") != std::string::npos) return true;
    if (deadline.HasPassed()) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

TEST(ProcessService, OutputErrorsAndExitCodeArrive) {
  TestAgent agent;
  const RunResult result = agent.Run("echo out; echo err >&2; exit 3");
  EXPECT_GT(result.pid, 0u);
  EXPECT_EQ(result.out, "out\n");
  EXPECT_EQ(result.err, "err\n");
  ASSERT_TRUE(result.ended);
  EXPECT_EQ(result.ended->exit_code, 3);
  EXPECT_TRUE(result.ended->exited);
  EXPECT_EQ(result.ended->status, "exit status 3");
  EXPECT_EQ(result.ended->error, "exit status 3");
  EXPECT_FALSE(result.error);
}

TEST(ProcessService, SuccessHasNoError) {
  TestAgent agent;
  const RunResult result = agent.Run("true");
  ASSERT_TRUE(result.ended);
  EXPECT_EQ(result.ended->exit_code, 0);
  EXPECT_EQ(result.ended->status, "exit status 0");
  EXPECT_EQ(result.ended->error, "");
}

TEST(ProcessService, ASignalIsToldAsGoTellsIt) {
  TestAgent agent;
  const RunResult result = agent.Run("kill -SEGV $$");
  ASSERT_TRUE(result.ended);
  EXPECT_EQ(result.ended->exit_code, -1);
  EXPECT_EQ(result.ended->status, "signal: segmentation fault");
}

TEST(ProcessService, BinaryOutputIsUntouched) {
  TestAgent agent;
  const RunResult result = agent.Run(R"(printf '\000\377\200\001\n\303')");
  EXPECT_EQ(result.out, std::string("\0\xFF\x80\1\n\xC3", 6));
}

TEST(ProcessService, AHundredMegabytesArriveIntact) {
  TestAgent agent;
  const RunResult sums =
      agent.Run("exec 3>&1; head -c 104857600 /dev/urandom | tee /proc/self/fd/3 | sha256sum >&2");
  EXPECT_EQ(sums.out.size(), 104857600u);
  TempFolder folder;
  WriteText(folder / "out", sums.out);
  const RunResult again = agent.Run("sha256sum < " + (folder / "out"));
  EXPECT_EQ(again.out, sums.err);
}

TEST(ProcessService, FiftyRunAtOnce) {
  TestAgent agent;
  std::vector<std::thread> threads;
  std::vector<RunResult> results(50);
  for (int i = 0; i < 50; ++i) {
    threads.emplace_back([&agent, &results, i] {
      results[static_cast<size_t>(i)] = agent.Run(
          "read line < /proc/self/stat; echo " + std::to_string(i) + "; exit " + std::to_string(i));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < 50; ++i) {
    const RunResult& result = results[static_cast<size_t>(i)];
    EXPECT_EQ(result.out, std::to_string(i) + "\n");
    ASSERT_TRUE(result.ended);
    EXPECT_EQ(result.ended->exit_code, i);
  }
}

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

TEST(ProcessService, TheDeadlineKillsChildrenToo) {
  TestAgent agent;
  const auto before = Deadline::Clock::now();
  // One child in the group, one in a session of its own.
  const RunResult result =
      agent.Run(TestAgent::Shell("sleep 1000 & echo $!; setsid sleep 1000 & echo $!; wait"),
                {{"Connect-Timeout-Ms", "500"}});
  EXPECT_LT(Deadline::Clock::now() - before, std::chrono::seconds(30));
  ASSERT_TRUE(result.error);
  EXPECT_EQ(result.error->code, Code::kDeadlineExceeded);
  std::istringstream pids(result.out);
  int count = 0;
  for (pid_t pid = 0; pids >> pid; ++count) EXPECT_TRUE(WaitGone(pid)) << pid;
  EXPECT_EQ(count, 2);
}

TEST(ProcessService, AStalledReaderMeetsTheDeadlineToo) {
  TestAgent agent;
  TestStream stream =
      agent.Start(TestAgent::Shell("echo $$; exec yes"), {{"Connect-Timeout-Ms", "500"}});
  EXPECT_TRUE(WaitGone(static_cast<pid_t>(PidOf(stream))));
}

TEST(ProcessService, AStalledReaderStallsItsProcessOnly) {
  TestAgent agent;
  TestStream stalled = agent.Start(TestAgent::Shell("yes | head -c 50000000"));
  const uint32_t pid = PidOf(stalled);
  EXPECT_EQ(agent.Run("echo quick").out, "quick\n");
  EXPECT_EQ(::kill(static_cast<pid_t>(pid), 0), 0);  // it waits
  EXPECT_EQ(Collect(stalled).out.size(), 50000000u);
}

TEST(ProcessService, AClientThatGoesLeavesTheProcessRunning) {
  TestAgent agent;
  TempFolder folder;
  uint32_t pid = 0;
  {
    TestStream stream = agent.Start(TestAgent::Shell(
        "head -c 10000000 /dev/zero; read line; echo done > " + (folder / "mark")));
    pid = PidOf(stream);
  }
  json::object input = Select(pid);
  input["input"] = wire::ToJson(wire::ProcessInput{false, "go\n"});
  ASSERT_TRUE(agent.Call("process.Process/SendInput", input));
  EXPECT_TRUE(WaitGone(static_cast<pid_t>(pid)));
  EXPECT_EQ(FileText(folder / "mark"), "done\n");
}

TEST(ProcessService, ConnectFollowsARunningProcessAndTellsALateOneTheEnd) {
  TestAgent agent;
  wire::StartRequest request = TestAgent::Shell("read line; echo got $line; exit 7");
  request.tag = "job";
  TestStream first = agent.Start(request);
  const uint32_t pid = PidOf(first);
  json::object by_tag;
  by_tag["process"] = {{"tag", "job"}};
  TestStream second = agent.Open("process.Process/Connect", by_tag);
  EXPECT_EQ(PidOf(second), pid);
  json::object input = Select(pid);
  input["input"] = wire::ToJson(wire::ProcessInput{false, "x\n"});
  ASSERT_TRUE(agent.Call("process.Process/SendInput", input));
  EXPECT_EQ(Collect(first).out, "got x\n");
  EXPECT_EQ(Collect(second).out, "got x\n");
  TestStream late = agent.Open("process.Process/Connect", Select(pid));
  const RunResult result = Collect(late);
  EXPECT_EQ(result.pid, pid);
  ASSERT_TRUE(result.ended);
  EXPECT_EQ(result.ended->exit_code, 7);
  EXPECT_EQ(result.out, "");
}

TEST(ProcessService, TheTimeLimitOfConnectEndsThatStreamAlone) {
  TestAgent agent;
  TestStream stream = agent.Start(TestAgent::Shell("read line"));
  const uint32_t pid = PidOf(stream);
  TestStream other =
      agent.Open("process.Process/Connect", Select(pid), {{"Connect-Timeout-Ms", "100"}});
  const RunResult result = Collect(other);
  ASSERT_TRUE(result.error);
  EXPECT_EQ(result.error->code, Code::kDeadlineExceeded);
  ASSERT_TRUE(agent.Call("process.Process/CloseStdin", Select(pid)));
  EXPECT_TRUE(Collect(stream).ended);
}

TEST(ProcessService, AnUnknownProcessIsNotFound) {
  TestAgent agent;
  auto input = agent.Call("process.Process/CloseStdin", Select(999999));
  ASSERT_FALSE(input);
  EXPECT_EQ(input.error().code, Code::kNotFound);
  EXPECT_EQ(input.error().message, "process with pid 999999 not found");
  TestStream stream = agent.Open("process.Process/Connect", Select(999999));
  EXPECT_FALSE(stream.Next());
  ASSERT_TRUE(stream.error());
  EXPECT_EQ(stream.error()->code, Code::kNotFound);
}

TEST(ProcessService, ListNamesWhatRuns) {
  TestAgent agent;
  wire::StartRequest request = TestAgent::Shell("read line");
  request.tag = "t";
  TestStream stream = agent.Start(request);
  const uint32_t pid = PidOf(stream);
  auto list = agent.Call("process.Process/List", {});
  ASSERT_TRUE(list);
  ASSERT_EQ(list->at("processes").as_array().size(), 1u);
  auto info = wire::DecodeProcessInfo(list->at("processes").as_array()[0].as_object());
  ASSERT_TRUE(info);
  EXPECT_EQ(info->pid, pid);
  EXPECT_EQ(info->tag, "t");
  EXPECT_EQ(info->config.cmd, "/bin/sh");
  json::object kill = Select(pid);
  kill["signal"] = "SIGNAL_SIGKILL";
  ASSERT_TRUE(agent.Call("process.Process/SendSignal", kill));
  const RunResult result = Collect(stream);
  ASSERT_TRUE(result.ended);
  EXPECT_EQ(result.ended->exit_code, -1);
  EXPECT_EQ(result.ended->status, "signal: killed");
  EXPECT_TRUE(agent.Call("process.Process/List", {})->at("processes").as_array().empty());
  auto again = agent.Call("process.Process/SendSignal", kill);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::kNotFound);
}

TEST(ProcessService, SignalsReachTheGroup) {
  TestAgent agent;
  TestStream stream = agent.Start(TestAgent::Shell(
      "trap 'echo caught; exit 5' USR1; echo ready; while :; do sleep 1000 & wait; done"));
  const uint32_t pid = PidOf(stream);
  ASSERT_TRUE(stream.NextEvent());  // ready
  json::object request = Select(pid);
  request["signal"] = "SIGNAL_SIGUSR1";
  ASSERT_TRUE(agent.Call("process.Process/SendSignal", request));
  const RunResult result = Collect(stream);
  EXPECT_EQ(result.out, "caught\n");
  ASSERT_TRUE(result.ended);
  EXPECT_EQ(result.ended->exit_code, 5);
}

TEST(ProcessService, WhatIsLeftBehindDoesNotHoldTheEnd) {
  TestAgent agent;
  const auto before = Deadline::Clock::now();
  const RunResult result = agent.Run("sleep 1000 & echo $!; exit 4");
  EXPECT_LT(Deadline::Clock::now() - before, std::chrono::seconds(30));
  ASSERT_TRUE(result.ended);
  EXPECT_EQ(result.ended->exit_code, 4);
  const pid_t left = static_cast<pid_t>(std::stol(result.out));
  EXPECT_EQ(::kill(left, 0), 0);  // it lives on
  ::kill(left, SIGKILL);
}

TEST(ProcessService, OneThatEndedBeforeItsLimitKeepsItsExitCode) {
  TestAgent agent;
  // The limit passes while what it left behind holds the output open. On a machine so busy that the
  // shell itself is late, again.
  RunResult result;
  for (int i = 0; i < 10 && !result.ended; ++i) {
    result = agent.Run(TestAgent::Shell("sleep 1000 & echo $!; exit 4"),
                       {{"Connect-Timeout-Ms", "500"}});
    if (!result.out.empty()) ::kill(static_cast<pid_t>(std::stol(result.out)), SIGKILL);
  }
  EXPECT_FALSE(result.error);
  ASSERT_TRUE(result.ended);
  EXPECT_EQ(result.ended->exit_code, 4);
}

TEST(ProcessService, WhatCannotBeStartedSaysWhy) {
  TestAgent agent;
  const auto failure = [&](std::string cmd, std::optional<std::string> cwd) {
    wire::StartRequest request;
    request.process.cmd = std::move(cmd);
    request.process.cwd = std::move(cwd);
    TestStream stream = agent.Start(request);
    EXPECT_FALSE(stream.Next());
    return stream.error().value_or(Error{Code::kUnknown, "no error", {}});
  };
  EXPECT_EQ(failure("no-such-command", "/").code, Code::kNotFound);
  EXPECT_EQ(failure("no-such-command", "/").message, "command 'no-such-command' not found");
  EXPECT_EQ(failure("/etc/passwd", "/").code, Code::kPermissionDenied);
  const Error cwd = failure("/bin/true", "/no/such/folder");
  EXPECT_EQ(cwd.code, Code::kInvalidArgument);
  EXPECT_EQ(cwd.message, "cwd '/no/such/folder' does not exist");
  EXPECT_EQ(failure("/bin/true", std::string("/\0x", 3)).code, Code::kInvalidArgument);
}

TEST(ProcessService, TheEnvironmentIsMadeUp) {
  TestAgent agent;
  wire::StartRequest request;
  request.process.cmd = "env";  // found in PATH
  request.process.cwd = "/";
  request.process.envs = {{"EXTRA", "a b=c"}, {"LOGNAME", "other"}};
  const RunResult result = agent.Run(request);
  EXPECT_THAT(result.out, HasSubstr("PATH="));
  EXPECT_THAT(result.out, HasSubstr("HOME="));
  EXPECT_THAT(result.out, HasSubstr("EXTRA=a b=c\n"));
  EXPECT_THAT(result.out, HasSubstr("LOGNAME=other\n"));
  EXPECT_THAT(result.out, testing::Not(HasSubstr("TERM=")));
}

TEST(ProcessService, NothingOfTheAgentIsInherited) {
  TestAgent agent;
  // Of a program that takes the shell's place: a shell blocks signals while it starts another.
  const RunResult result =
      agent.Run("ls /proc/self/fd | wc -l; exec grep -E 'Sig(Blk|Ign)' /proc/self/status");
  // 0 to 2 and the folder that ls reads.
  EXPECT_THAT(result.out, HasSubstr("4\n"));
  EXPECT_THAT(result.out, HasSubstr("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"));
}

TEST(ProcessService, AnotherUserIsBecomeCompletely) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  TestAgent agent;
  TestStream stream = agent.Open(
      "process.Process/Start",
      wire::ToJson(
          TestAgent::Shell("id -u; id -g; id -G; grep -E '^Cap(Eff|Prm)' /proc/self/status")),
      {{"Authorization", "Basic " + Base64Encode("nobody:")}});
  const RunResult result = Collect(stream);
  EXPECT_THAT(result.out, testing::StartsWith("65534\n65534\n65534\n"));
  EXPECT_THAT(result.out, HasSubstr("CapEff:\t0000000000000000"));
}

TEST(ProcessService, AnUnknownUserIsUnauthenticated) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  TestAgent agent;
  TestStream stream = agent.Open("process.Process/Start", wire::ToJson(TestAgent::Shell("true")),
                                 {{"Authorization", "Basic " + Base64Encode("no-such-user:")}});
  EXPECT_FALSE(stream.Next());
  ASSERT_TRUE(stream.error());
  EXPECT_EQ(stream.error()->code, Code::kUnauthenticated);
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

TEST(ProcessService, SilentStreamsAreKeptAlive) {
  TestAgent agent;
  TestStream stream =
      agent.Start(TestAgent::Shell("read line"), {{"Keepalive-Ping-Interval", "1"}});
  const uint32_t pid = PidOf(stream);
  const auto event = stream.NextEvent();
  ASSERT_TRUE(event);
  EXPECT_TRUE(std::holds_alternative<wire::KeepAlive>(*event));
  ASSERT_TRUE(agent.Call("process.Process/CloseStdin", Select(pid)));
  EXPECT_TRUE(Collect(stream).ended);
}

TEST(ProcessService, WrongRequestsAreRefused) {
  TestAgent agent;
  wire::RequestHead head = agent.Head("POST", "/process.Process/List");
  head.fields.Add("Content-Type", "application/proto");
  EXPECT_EQ(agent.Send(std::move(head), "").head.status, 400);
  auto broken = agent.Call("process.Process/SendInput", json::object{{"process", 5}});
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code, Code::kInvalidArgument);
  TestStream stream = agent.Open("process.Process/Start", json::object{{"process", "x"}});
  EXPECT_FALSE(stream.Next());
  EXPECT_EQ(stream.error()->code, Code::kInvalidArgument);
}

}  // namespace
}  // namespace wrenn::guest
