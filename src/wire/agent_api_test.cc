#include "wire/agent_api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace wrenn::wire {
namespace {

json::object Parse(std::string_view text) {
  auto object = ParseJsonObject(text);
  EXPECT_TRUE(object) << text;
  return object ? *object : json::object();
}

TEST(AgentApi, StartRequestSurvivesTheWire) {
  StartRequest request;
  request.process = {"/bin/bash", {"-l", "-c", "echo hi"}, {{"A", "1"}, {"B", "x=y"}}, "/tmp"};
  request.pty = PtySize{120, 40};
  request.tag = "build";
  request.stdin_open = false;
  auto back = DecodeStartRequest(Parse(json::serialize(ToJson(request))));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->process.cmd, "/bin/bash");
  EXPECT_EQ(back->process.args, request.process.args);
  EXPECT_EQ(back->process.envs, request.process.envs);
  EXPECT_EQ(back->process.cwd, "/tmp");
  EXPECT_EQ(back->pty, (PtySize{120, 40}));
  EXPECT_EQ(back->tag, "build");
  EXPECT_FALSE(back->stdin_open);
}

TEST(AgentApi, StdinIsOpenUnlessRefused) {
  EXPECT_TRUE(DecodeStartRequest(Parse(R"({"process":{"cmd":"cat"}})"))->stdin_open);
  EXPECT_TRUE(DecodeStartRequest(Parse(R"({"process":{"cmd":"cat"},"stdin":true})"))->stdin_open);
}

TEST(AgentApi, StartRequestNamesTheWrongField) {
  const auto message = [](std::string_view text) {
    auto request = DecodeStartRequest(Parse(text));
    return request ? std::string("decoded") : request.error().message;
  };
  EXPECT_EQ(message("{}"), "process.cmd is required");
  EXPECT_EQ(message(R"({"process":{"cmd":1}})"), "process.cmd must be a string");
  EXPECT_EQ(message(R"({"process":{"cmd":"a","args":[1]}})"),
            "process.args must be a list of strings");
  EXPECT_EQ(message(R"({"process":{"cmd":"a"},"pty":{"size":{"cols":-1}}})"),
            "size.cols must be between 0 and 65535, not -1");
}

TEST(AgentApi, EventsHaveProtoShape) {
  EXPECT_EQ(json::serialize(ToJson(ProcessEvent(ProcessStarted{7}))), R"({"start":{"pid":7}})");
  const ProcessOutput output{ProcessOutput::Stream::kStderr, std::string("h\0\xFF", 3)};
  EXPECT_EQ(json::serialize(ToJson(ProcessEvent(output))), R"({"data":{"stderr":"aAD/"}})");
  EXPECT_EQ(FormatOutputEvent(output), R"({"event":{"data":{"stderr":"aAD/"}}})");
  EXPECT_EQ(json::serialize(ToJson(ProcessEvent(KeepAlive{}))), R"({"keepalive":{}})");
  const ProcessEnded ended{3, true, "exit status 3", "exit status 3"};
  EXPECT_EQ(
      json::serialize(ToJson(ProcessEvent(ended))),
      R"({"end":{"exitCode":3,"exited":true,"status":"exit status 3","error":"exit status 3"}})");
}

TEST(AgentApi, EventsSurviveTheWire) {
  auto output = DecodeProcessEvent(Parse(R"({"data":{"pty":"aAD/"}})"));
  ASSERT_TRUE(output);
  EXPECT_EQ(std::get<ProcessOutput>(*output).stream, ProcessOutput::Stream::kPty);
  EXPECT_EQ(std::get<ProcessOutput>(*output).data, std::string("h\0\xFF", 3));
  // snake_case is accepted; what is left out has its default.
  auto ended = DecodeProcessEvent(Parse(R"({"end":{"exit_code":-1,"status":"signal: killed"}})"));
  ASSERT_TRUE(ended);
  EXPECT_EQ(std::get<ProcessEnded>(*ended).exit_code, -1);
  EXPECT_EQ(std::get<ProcessEnded>(*ended).status, "signal: killed");
  EXPECT_TRUE(std::holds_alternative<KeepAlive>(*DecodeProcessEvent(Parse(R"({"keepalive":{}})"))));
}

TEST(AgentApi, EventsOfUnknownShapeAreRefused) {
  EXPECT_FALSE(DecodeProcessEvent(Parse("{}")));
  EXPECT_FALSE(DecodeProcessEvent(Parse(R"({"data":{}})")));
  EXPECT_FALSE(DecodeProcessEvent(Parse(R"({"data":{"stdout":"!"}})")));
  EXPECT_FALSE(DecodeProcessEvent(Parse(R"({"start":{"pid":-4}})")));
  EXPECT_FALSE(DecodeProcessEvent(Parse(R"({"start":3})")));
}

TEST(AgentApi, SelectorIsPidOrTag) {
  EXPECT_EQ(*DecodeProcessSelector(Parse(R"({"pid":12})")), ProcessSelector(12u));
  EXPECT_EQ(*DecodeProcessSelector(Parse(R"({"tag":"t"})")), ProcessSelector("t"));
  EXPECT_FALSE(DecodeProcessSelector(Parse("{}")));
  EXPECT_EQ(json::serialize(ToJson(ProcessSelector(12u))), R"({"pid":12})");
}

TEST(AgentApi, InputIsStdinOrPty) {
  auto input = DecodeProcessInput(Parse(R"({"stdin":"aGk="})"));
  ASSERT_TRUE(input);
  EXPECT_FALSE(input->pty);
  EXPECT_EQ(input->data, "hi");
  EXPECT_TRUE(DecodeProcessInput(Parse(json::serialize(ToJson(ProcessInput{true, "k"}))))->pty);
  EXPECT_FALSE(DecodeProcessInput(Parse("{}")));
}

TEST(AgentApi, EntrySurvivesTheWireWithInt64AsText) {
  EntryInfo entry;
  entry.name = "a";
  entry.type = FileType::kDirectory;
  entry.path = "/tmp/a";
  entry.size = int64_t{1} << 40;
  entry.mode = 0755;
  entry.permissions = "drwxr-xr-x";
  entry.owner = "user";
  entry.group = "user";
  entry.modified = std::chrono::system_clock::time_point(std::chrono::milliseconds(1764000000123));
  entry.symlink_target = "/x";
  const json::object object = ToJson(entry);
  EXPECT_EQ(object.at("size"), "1099511627776");
  EXPECT_EQ(object.at("type"), "FILE_TYPE_DIRECTORY");
  auto back = DecodeEntryInfo(object);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->size, entry.size);
  EXPECT_EQ(back->type, entry.type);
  EXPECT_EQ(back->modified, entry.modified);
  EXPECT_EQ(back->symlink_target, "/x");
}

TEST(AgentApi, NamesThatAreNotUtf8AreMadeSo) {
  EntryInfo entry;
  entry.name = "a\xFF\xC3\xA9\xE2\x82";
  EXPECT_EQ(ToJson(entry).at("name"), "a\uFFFD\u00E9\uFFFD\uFFFD");
}

TEST(AgentApi, FileEventSurvivesTheWire) {
  FileEvent event{"sub/x", FileEventType::kChmod, EntryInfo{}};
  auto back = DecodeFileEvent(ToJson(event));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->name, "sub/x");
  EXPECT_EQ(back->type, FileEventType::kChmod);
  EXPECT_TRUE(back->entry);
  EXPECT_EQ(DecodeFileEvent(Parse(R"({"name":"n","type":2})"))->type, FileEventType::kWrite);
}

TEST(AgentApi, MetricsSurviveTheWire) {
  const GuestMetrics metrics{1764000000, 2, 12.5, 8 << 20, 3 << 20, 1 << 20, 10, 20};
  const json::object object = ToJson(metrics);
  EXPECT_EQ(object.at("mem_total_mib"), 8);
  auto back = DecodeGuestMetrics(object);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->mem_used, 3 << 20);
  EXPECT_DOUBLE_EQ(back->cpu_used_pct, 12.5);
}

TEST(AgentApi, InitSurvivesTheWire) {
  InitRequest request;
  request.access_token = "t";
  request.env_vars = {{"A", "b"}};
  request.timestamp =
      std::chrono::system_clock::time_point(std::chrono::milliseconds(1764000000123));
  request.entropy = std::string("\0\1\2", 3);
  request.hostname = "sb-1";
  auto back = DecodeInitRequest(Parse(json::serialize(ToJson(request))));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->access_token, "t");
  EXPECT_EQ(back->env_vars, request.env_vars);
  EXPECT_EQ(back->timestamp, request.timestamp);
  EXPECT_EQ(back->entropy, request.entropy);
  EXPECT_FALSE(back->machine_id);
  EXPECT_EQ(DecodeInitRequest(Parse(R"({"timestamp":"soon"})")).error().message,
            "timestamp must be an RFC 3339 time");
  auto reply = DecodeInitReply(ToJson(InitReply{1, "0.1.0", {"pty"}}));
  ASSERT_TRUE(reply);
  EXPECT_THAT(reply->features, testing::ElementsAre("pty"));
}

TEST(AgentApi, SignalsByNameOrNumber) {
  EXPECT_EQ(*DecodeSignal(json::value("SIGNAL_SIGKILL")), Signal::kKill);
  EXPECT_EQ(*DecodeSignal(json::value(15)), Signal::kTerm);
  EXPECT_EQ(*DecodeSignal(json::value("SIGNAL_SIGINT")), Signal::kInt);
  EXPECT_FALSE(DecodeSignal(json::value("SIGNAL_SIGSTOP")));
  EXPECT_FALSE(DecodeSignal(json::value(0)));
  EXPECT_FALSE(DecodeSignal(json::value(nullptr)));
}

}  // namespace
}  // namespace wrenn::wire
