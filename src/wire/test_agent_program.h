// AgentProgram: wrenn-init as an ordinary program on TCP. For tests alone.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace wrenn::wire {

// A folder that goes with its owner.
class TestFolder {
 public:
  TestFolder() {
    char name[] = "/tmp/wrenn-agent-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  ~TestFolder() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

#ifdef WRENN_INIT_PROGRAM

// Runs as long as it lives, on a port of loopback. A test fails whose agent does not start.
class AgentProgram {
 public:
  explicit AgentProgram(const std::string& token) {
    int out[2];
    if (::pipe(out) < 0) std::abort();
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    ::posix_spawn_file_actions_addclose(&actions, out[0]);
    std::vector<std::string> words{"wrenn-init", "--agent", "--listen", "127.0.0.1:0"};
    if (!token.empty()) words.insert(words.end(), {"--token", token});
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const int failed =
        ::posix_spawn(&pid_, WRENN_INIT_PROGRAM, &actions, nullptr, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(out[1]);
    FILE* lines = ::fdopen(out[0], "r");
    unsigned port = 0;
    if (failed || std::fscanf(lines, "listening on 127.0.0.1:%u", &port) != 1) {
      ADD_FAILURE() << "the agent did not start";
    }
    ::fclose(lines);
    port_ = static_cast<uint16_t>(port);
  }
  AgentProgram(const AgentProgram&) = delete;
  AgentProgram& operator=(const AgentProgram&) = delete;
  ~AgentProgram() { End(SIGKILL); }

  pid_t pid() const { return pid_; }
  uint16_t port() const { return port_; }
  void Kill() const { ::kill(pid_, SIGKILL); }

  // Ends it by a signal; its status as of waitpid(2), -1 when it had been ended before.
  int End(int signal) {
    if (pid_ <= 0) return -1;
    ::kill(pid_, signal);
    int status = -1;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return status;
  }

 private:
  pid_t pid_ = -1;
  uint16_t port_ = 0;
};

#endif

}  // namespace wrenn::wire
