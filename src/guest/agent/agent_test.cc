#include <gmock/gmock.h>

#include "guest/agent/test_agent.h"

namespace wrenn::guest {
namespace {

using testing::HasSubstr;

TestAgent::Reply Init(TestAgent& agent, std::string_view body, std::string_view token = {}) {
  wire::RequestHead head;
  head.method = "POST";
  head.target = "/init";
  head.fields.Add("Host", "agent");
  if (!token.empty()) head.fields.Add("X-Access-Token", std::string(token));
  return agent.Send(std::move(head), body);
}

int Status(TestAgent& agent, std::string method, std::string target, std::string_view token) {
  wire::RequestHead head;
  head.method = std::move(method);
  head.target = std::move(target);
  head.fields.Add("Host", "agent");
  if (!token.empty()) head.fields.Add("X-Access-Token", std::string(token));
  return agent.Send(std::move(head)).head.status;
}

TEST(Agent, HealthNeedsNoToken) {
  TestAgent agent("secret");
  EXPECT_EQ(Status(agent, "GET", "/health", ""), 204);
  EXPECT_EQ(Status(agent, "OPTIONS", "/files", ""), 204);
}

TEST(Agent, EverythingElseNeedsTheToken) {
  TestAgent agent("secret");
  for (const char* target : {"/metrics", "/envs", "/files?path=/etc/passwd"}) {
    EXPECT_EQ(Status(agent, "GET", target, ""), 401) << target;
    EXPECT_EQ(Status(agent, "GET", target, "wrong!"), 401) << target;
    EXPECT_EQ(Status(agent, "GET", target, "secret"), 200) << target;
  }
  for (const char* target : {"/process.Process/List", "/filesystem.Filesystem/Remove", "/shutdown",
                             "/files?path=/tmp/x", "/no-such-thing"}) {
    EXPECT_EQ(Status(agent, "POST", target, ""), 401) << target;
  }
  wire::RequestHead head;
  head.method = "GET";
  head.target = "/metrics";
  head.fields.Add("Host", "agent");
  EXPECT_EQ(agent.Send(std::move(head)).body,
            R"({"code":401,"message":"unauthorized access, please provide a valid access token )"
            R"(or method signing if supported"})");
}

TEST(Agent, InitNeedsTheOldTokenOnceThereIsOne) {
  TestAgent agent;
  const auto first = Init(agent, R"({"accessToken":"one"})");
  ASSERT_EQ(first.head.status, 200) << first.body;
  auto reply = wire::DecodeInitReply(*ParseJsonObject(first.body));
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->protocol, wire::kAgentProtocol);
  EXPECT_EQ(reply->version, WRENN_VERSION);
  EXPECT_THAT(reply->features, testing::Contains("process"));
  EXPECT_EQ(Init(agent, R"({"accessToken":"two"})").head.status, 401);
  EXPECT_EQ(Init(agent, R"({"accessToken":"two"})", "wrong").head.status, 401);
  EXPECT_EQ(Init(agent, R"({"accessToken":"two"})", "one").head.status, 200);
  EXPECT_EQ(Status(agent, "GET", "/envs", "one"), 401);
  EXPECT_EQ(Status(agent, "GET", "/envs", "two"), 200);
  // Said again by a client that did not hear the answer.
  EXPECT_EQ(Init(agent, R"({"accessToken":"two"})", "one").head.status, 200);
  EXPECT_EQ(Init(agent, R"({"accessToken":""})", "two").head.status, 400);
  EXPECT_EQ(Init(agent, R"({"timestamp":"never"})", "two").head.status, 400);
  EXPECT_EQ(Init(agent, "[", "two").head.status, 400);
}

TEST(Agent, InitReplacesTheEnvironment) {
  TestAgent agent;
  ASSERT_EQ(Init(agent, R"({"envVars":{"A":"1","B":"2"}})").head.status, 200);
  EXPECT_THAT(agent.Run("echo $A$B").out, "12\n");
  ASSERT_EQ(Init(agent, R"({"envVars":{"B":"3"}})").head.status, 200);
  EXPECT_EQ(agent.Run("echo $A$B").out, "3\n");
  EXPECT_EQ(agent.Send(agent.Head("GET", "/envs")).body, R"({"B":"3"})");
}

TEST(Agent, InitSetsTheDefaultFolder) {
  TestAgent agent;
  ASSERT_EQ(Init(agent, R"({"defaultWorkdir":"/usr/share"})").head.status, 200);
  wire::StartRequest request;
  request.process.cmd = "pwd";
  EXPECT_EQ(agent.Run(request).out, "/usr/share\n");
  request.process.cwd = "doc";
  EXPECT_EQ(agent.Run(request).out, "/usr/share/doc\n");
}

TEST(Agent, AnOrdinaryProgramLeavesTheMachineAlone) {
  TestAgent agent;
  const std::string before = FileText("/etc/hostname");
  ASSERT_EQ(
      Init(agent, R"({"hostname":"intruder","timestamp":"2001-01-01T00:00:00Z"})").head.status,
      200);
  EXPECT_EQ(FileText("/etc/hostname"), before);
  EXPECT_GT(std::time(nullptr), 1'700'000'000);
  const auto reply = agent.Send(agent.Head("POST", "/shutdown"));
  EXPECT_EQ(reply.head.status, 400);
  EXPECT_THAT(reply.body, HasSubstr("does not run as the guest's init"));
}

TEST(Agent, MetricsAreOfThisMachine) {
  TestAgent agent;
  const auto reply = agent.Send(agent.Head("GET", "/metrics"));
  ASSERT_EQ(reply.head.status, 200);
  auto metrics = wire::DecodeGuestMetrics(*ParseJsonObject(reply.body));
  ASSERT_TRUE(metrics);
  EXPECT_GT(metrics->cpu_count, 0u);
  EXPECT_GT(metrics->mem_total, metrics->mem_used);
  EXPECT_GT(metrics->mem_used, 0);
  EXPECT_GT(metrics->disk_total, metrics->disk_used);
}

TEST(Agent, UnknownThingsAreNotFound) {
  TestAgent agent;
  EXPECT_EQ(Status(agent, "GET", "/", ""), 404);
  EXPECT_EQ(Status(agent, "POST", "/process.Process/Dance", ""), 404);
  EXPECT_EQ(Status(agent, "GET", "/process.Process/List", ""), 404);
  EXPECT_EQ(Status(agent, "DELETE", "/files", ""), 404);
}

TEST(Agent, OneConnectionServesManyRequests) {
  TestAgent agent;
  auto http = agent.Connect();
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(http->Send(agent.Head("GET", "/envs"), "", Soon()));
    ASSERT_TRUE(http->body().ReadAll(1000, Soon()));
    EXPECT_TRUE(http->Reusable());
  }
}

}  // namespace
}  // namespace wrenn::guest
