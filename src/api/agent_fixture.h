// The API over a real agent: wrenn-init as a process on this machine. For tests.
#pragma once

#include <fcntl.h>
#include <pwd.h>
#include <unistd.h>

#include "api/api_fixture.h"
#include "base/encoding.h"
#include "os/process.h"

namespace wrenn::api {

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
    options.argv = {WRENN_INIT_PROGRAM, "--agent", "--listen",
                    "127.0.0.1:0",      "--token", manager_.agent_token};
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
    if (agent_) [[maybe_unused]]
      auto ended = agent_->Kill(Soon());
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

}  // namespace wrenn::api
