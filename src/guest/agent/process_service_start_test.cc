// What a process begins with.
#include <gmock/gmock.h>

#include "guest/agent/process_service_fixture.h"

namespace wrenn::guest {
namespace {

using testing::HasSubstr;

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
