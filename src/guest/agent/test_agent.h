// TestAgent: wrenn-init as an ordinary program on TCP, and a client to it. For tests alone.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "base/encoding.h"
#include "base/id.h"
#include "wire/agent_api.h"
#include "wire/connect.h"
#include "wire/http_client.h"
#include "wire/sockets.h"
#include "wire/test_agent_program.h"

namespace wrenn::guest {

inline Deadline Soon() { return Deadline::After(std::chrono::seconds(60)); }

using TempFolder = wire::TestFolder;

inline std::string FileText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline void WriteText(const std::string& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

// The messages of one stream of the agent.
class TestStream {
 public:
  explicit TestStream(std::unique_ptr<wire::HttpClient> http) : http_(std::move(http)) {}

  // The next message; nothing at the end, whose error is then in error().
  std::optional<json::object> Next(Deadline deadline = Soon()) {
    auto envelope = wire::ReadEnvelope(http_->body(), deadline);
    if (!envelope || !*envelope) {
      ADD_FAILURE() << "broken stream: " << (envelope ? "no end" : envelope.error().message);
      return std::nullopt;
    }
    if ((*envelope)->is_end()) {
      auto end = wire::ParseEndOfStream((*envelope)->message);
      if (end && *end) error_ = **end;
      return std::nullopt;
    }
    auto object = ParseJsonObject((*envelope)->message);
    return object ? std::optional(std::move(*object)) : std::nullopt;
  }

  // The next event of a process.
  std::optional<wire::ProcessEvent> NextEvent(Deadline deadline = Soon()) {
    const auto message = Next(deadline);
    if (!message) return std::nullopt;
    auto event = wire::DecodeProcessEvent(message->at("event").as_object());
    if (!event) return std::nullopt;
    return std::move(*event);
  }

  const std::optional<Error>& error() const { return error_; }
  wire::HttpClient& http() { return *http_; }

 private:
  std::unique_ptr<wire::HttpClient> http_;
  std::optional<Error> error_;
};

// What a process did from start to end.
struct RunResult {
  uint32_t pid = 0;
  std::string out;
  std::string err;
  std::string terminal;
  std::optional<wire::ProcessEnded> ended;
  std::optional<Error> error;
};

inline RunResult Collect(TestStream& stream) {
  RunResult result;
  while (auto event = stream.NextEvent()) {
    if (auto* started = std::get_if<wire::ProcessStarted>(&*event)) result.pid = started->pid;
    if (auto* ended = std::get_if<wire::ProcessEnded>(&*event)) result.ended = *ended;
    if (auto* output = std::get_if<wire::ProcessOutput>(&*event)) {
      using Stream = wire::ProcessOutput::Stream;
      (output->stream == Stream::kStdout   ? result.out
       : output->stream == Stream::kStderr ? result.err
                                           : result.terminal) += output->data;
    }
  }
  result.error = stream.error();
  return result;
}

class TestAgent {
 public:
  explicit TestAgent(std::string token = {}) : token_(std::move(token)), program_(token_) {}
  ~TestAgent() {
    const int status = program_.End(SIGTERM);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the agent ended with " << status;
  }

  pid_t pid() const { return program_.pid(); }

  std::unique_ptr<wire::HttpClient> Connect() {
    auto fd = wire::ConnectTcp("127.0.0.1", program_.port(), Soon());
    EXPECT_TRUE(fd) << fd.error().message;
    return std::make_unique<wire::HttpClient>(std::move(*fd));
  }

  wire::RequestHead Head(std::string method, std::string target, std::string_view user = {}) {
    wire::RequestHead head;
    head.method = std::move(method);
    head.target = std::move(target);
    head.fields.Add("Host", "agent");
    if (!token_.empty()) head.fields.Add("X-Access-Token", token_);
    if (!user.empty()) {
      head.fields.Add("Authorization", "Basic " + Base64Encode(std::string(user) + ":"));
    }
    return head;
  }

  // One exchange on a connection of its own.
  struct Reply {
    wire::ResponseHead head;
    std::string body;
  };
  Reply Send(wire::RequestHead head, std::string_view body = {}) {
    auto http = Connect();
    auto sent = http->Send(std::move(head), body, Soon());
    EXPECT_TRUE(sent) << sent.error().message;
    Reply reply;
    if (!sent) return reply;
    reply.head = http->response();
    auto read = http->body().ReadAll(256 << 20, Soon());
    EXPECT_TRUE(read) << read.error().message;
    if (read) reply.body = std::move(*read);
    return reply;
  }

  Result<json::object> Call(std::string_view method, const json::object& request,
                            std::string_view user = {}) {
    wire::RequestHead head = Head("POST", "/" + std::string(method), user);
    head.fields.Add("Content-Type", std::string(wire::kConnectUnaryType));
    const Reply reply = Send(std::move(head), json::serialize(request));
    if (reply.head.status == 200) return ParseJsonObject(reply.body);
    return Fail(wire::ParseUnaryError(reply.head.status, reply.body));
  }

  using Extra = std::vector<std::pair<std::string, std::string>>;
  TestStream Open(std::string_view method, const json::object& request, const Extra& extra = {}) {
    wire::RequestHead head = Head("POST", "/" + std::string(method));
    head.fields.Add("Content-Type", std::string(wire::kConnectStreamType));
    for (const auto& [name, value] : extra) head.fields.Add(name, value);
    auto http = Connect();
    auto sent =
        http->Send(std::move(head), wire::FormatEnvelope(0, json::serialize(request)), Soon());
    EXPECT_TRUE(sent) << sent.error().message;
    EXPECT_EQ(http->response().status, 200);
    EXPECT_EQ(http->response().fields.Get("content-type"), wire::kConnectStreamType);
    return TestStream(std::move(http));
  }

  static wire::StartRequest Shell(std::string_view command) {
    wire::StartRequest request;
    request.process.cmd = "/bin/sh";
    request.process.args = {"-c", std::string(command)};
    request.process.cwd = "/";
    return request;
  }
  TestStream Start(const wire::StartRequest& request, const Extra& extra = {}) {
    return Open("process.Process/Start", wire::ToJson(request), extra);
  }
  RunResult Run(const wire::StartRequest& request, const Extra& extra = {}) {
    TestStream stream = Start(request, extra);
    return Collect(stream);
  }
  RunResult Run(std::string_view command) { return Run(Shell(command)); }

 private:
  const std::string token_;
  wire::AgentProgram program_;
};

}  // namespace wrenn::guest
