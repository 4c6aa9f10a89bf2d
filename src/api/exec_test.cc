// Commands and processes, against a real agent.
#include "api/agent_fixture.h"

#include <thread>

namespace wrenn::api {
namespace {

using ExecTest = AgentApiTest;

TEST_F(ExecTest, ExecAnswersWithBothStreamsAndTheExitCode) {
  const json::value result = Shell("echo out; echo err >&2; exit 3").Json();
  EXPECT_EQ(result.at("stdout"), "out\n");
  EXPECT_EQ(result.at("stderr"), "err\n");
  EXPECT_EQ(result.at("exit_code"), 3);
  EXPECT_EQ(result.at("encoding"), "utf-8");
  EXPECT_EQ(result.at("truncated"), false);
  EXPECT_EQ(result.at("timed_out"), false);
  EXPECT_GE(result.at("duration_ms").as_int64(), 0);
}

TEST_F(ExecTest, ExecHasEnvironmentFolderAndInput) {
  const json::value result =
      Shell("echo $G; pwd; cat", {{"envs", {{"G", "hé"}}}, {"cwd", "/"}, {"stdin", "in\n"}}).Json();
  EXPECT_EQ(result.at("stdout"), "hé\n/\nin\n");
}

TEST_F(ExecTest, LargeInputAndOutputDoNotWaitForEachOther) {
  const std::string input(700'000, 'x');
  const json::value result = Shell("cat", {{"stdin", input}}).Json();
  EXPECT_TRUE(result.at("stdout") == json::value(input));
}

TEST_F(ExecTest, InputThatNobodyReadsIsNoFailure) {
  const Answer answer = Shell("exit 7", {{"stdin", std::string(700'000, 'x')}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.Json().at("exit_code"), 7);
}

TEST_F(ExecTest, BinaryOutputAndInputAreBase64) {
  const json::value result =
      Shell("cat; printf plain >&2", {{"stdin", "/wA="}, {"stdin_encoding", "base64"}}).Json();
  EXPECT_EQ(result.at("encoding"), "base64");
  EXPECT_EQ(result.at("stdout"), "/wA=");
  EXPECT_EQ(result.at("stderr").as_string(), Base64Encode("plain"));
}

TEST_F(ExecTest, LongOutputThatMustBeEscapedArrivesWhole) {
  // Characters of 1, 2 and 6 bytes in JSON, on and off the borders of pieces.
  const json::value result = Shell(
                                 "for i in 1 2 3 4 5 6; do head -c 77777 /dev/zero | tr '\\0' "
                                 "'\\1'; printf 'é\"\\n'; done;"
                                 "printf '\\001' >&2")
                                 .Json();
  std::string expected;
  for (int i = 0; i < 6; ++i) expected += std::string(77777, '\1') + "é\"\n";
  EXPECT_EQ(result.at("encoding"), "utf-8");
  EXPECT_TRUE(result.at("stdout") == json::value(expected));
  EXPECT_EQ(result.at("stderr"), "\1");
  EXPECT_EQ(result.at("exit_code"), 0);
}

TEST_F(ExecTest, LongBinaryOutputArrivesWhole) {
  const json::value result =
      Shell("head -c 200000 /dev/zero | tr '\\0' '\\377'; printf '\\001' >&2").Json();
  EXPECT_EQ(result.at("encoding"), "base64");
  EXPECT_EQ(*Base64Decode(result.at("stdout").as_string()), std::string(200'000, '\xff'));
  EXPECT_EQ(*Base64Decode(result.at("stderr").as_string()), "\1");
}

TEST_F(ExecTest, TooMuchOutputIsCutAndSaid) {
  const json::value result =
      Shell("head -c 17000000 /dev/zero | tr '\\0' 'a'; exit 4", {{"timeout_sec", 0}}).Json();
  EXPECT_EQ(result.at("truncated"), true);
  EXPECT_EQ(result.at("stdout").as_string().size(), 16u << 20);
  EXPECT_EQ(result.at("exit_code"), 4);
}

TEST_F(ExecTest, TimeLimitKillsAndIsSaid) {
  const json::value result =
      Shell("echo begun; sleep 100 & sleep 100", {{"timeout_sec", 1}}).Json();
  EXPECT_EQ(result.at("exit_code"), -1);
  EXPECT_EQ(result.at("timed_out"), true);
  EXPECT_EQ(result.at("status"), "timed out");
  EXPECT_EQ(result.at("stdout"), "begun\n");
}

TEST_F(ExecTest, WhatTheSandboxLacksIsTheRequestsFault) {
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

TEST_F(ExecTest, BadExecRequestsAreRefusedByName) {
  const auto message = [this](const json::object& body) {
    const Answer answer = Post("/exec", body);
    EXPECT_EQ(answer.status, 400) << answer.body;
    return answer.ErrorMessage();
  };
  EXPECT_EQ(message({}), "cmd is required");
  EXPECT_EQ(message({{"cmd", "ls"}, {"args", "x"}}), "args must be a list");
  EXPECT_EQ(message({{"cmd", std::string("l\0s", 3)}}), "cmd holds a zero byte");
  EXPECT_NE(message({{"cmd", "ls"}, {"tag", "Not A Tag"}}).find("tag must be"), std::string::npos);
  EXPECT_NE(message({{"cmd", "ls"}, {"timeout_sec", -5}}).find("timeout_sec"), std::string::npos);
}

TEST_F(ExecTest, BackgroundCommandsAreListedSignalledAndKilled) {
  const Answer started = Exec({{"cmd", "/bin/sh"},
                               {"background", true},
                               {"tag", "bg"},
                               {"args",
                                {"-c", "trap 'exit 0' TERM; cat > " + folder_ +
                                           "/in; "
                                           "while :; do sleep 0.1; done"}},
                               {"stdin", "given"}});
  ASSERT_EQ(started.status, 202) << started.body;
  const std::string pid = std::to_string(started.Json().at("pid").as_int64());
  EXPECT_EQ(manager_.left_running, 1);
  const int uses = manager_.uses;
  json::value list = Call("GET", sandbox_ + "/processes").Json();
  EXPECT_EQ(Call("GET", sandbox_ + "/metrics").status, 200);
  EXPECT_EQ(manager_.uses, uses) << "who only looks does not keep it awake";
  ASSERT_EQ(list.as_array().size(), 1u);
  EXPECT_EQ(list.at(0).at("tag"), "bg");
  EXPECT_EQ(list.at(0).at("cmd"), "/bin/sh");
  EXPECT_EQ(Post("/processes/bg/signal", {{"signal", "NOPE"}}).status, 400);
  const Deadline limit = Soon();
  while (ReadFile(folder_ + "/in").value_or("") != "given" && !limit.HasPassed()) {
  }
  EXPECT_EQ(Post("/processes/bg/signal", {{"signal", "SIGTERM"}}).status, 204);
  while (!Call("GET", sandbox_ + "/processes").Json().as_array().empty() && !limit.HasPassed()) {
  }
  EXPECT_EQ(Call("DELETE", sandbox_ + "/processes/" + pid).status, 404);
  EXPECT_EQ(Call("DELETE", sandbox_ + "/processes/A%2FB").status, 404);
  EXPECT_EQ(*ReadFile(folder_ + "/in"), "given");
}

TEST_F(ExecTest, AnAgentThatCannotBeReachedIs503) {
  ASSERT_TRUE(agent_->Kill(Soon()));
  const Answer answer = Exec({{"cmd", "true"}});
  EXPECT_EQ(answer.status, 503) << answer.body;
}

TEST_F(ExecTest, AMachineThatHasJustEndedIs409WithItsReason) {
  ASSERT_TRUE(agent_->Kill(Soon()));
  manager_.end_reason = "VMM killed by signal 9";
  const Answer answer = Exec({{"cmd", "true"}});
  EXPECT_EQ(answer.status, 409) << answer.body;
  EXPECT_NE(answer.ErrorMessage().find("signal 9"), std::string::npos) << answer.body;
}

TEST_F(ExecTest, ASandboxThatEndsMeanwhileIs409WithItsReason) {
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

}  // namespace
}  // namespace wrenn::api
