// For tests: programs in jails, and what they say.
#pragma once

#include <gtest/gtest.h>
#include <sys/sysmacros.h>

#include <map>
#include <string>

#include "base/io.h"
#include "os/process.h"

namespace wrenn::os {

inline constexpr uid_t kJailUid = 712345;

// The probe (jail_probe/main.cc) in a jail that holds itself as /probe.
inline SpawnOptions ProbeOptions(std::vector<std::string> arguments) {
  SpawnOptions options;
  options.argv = std::move(arguments);
  options.argv.insert(options.argv.begin(), "/probe");
  options.jail.emplace();
  options.jail->uid = kJailUid;
  options.jail->gid = kJailUid;
  options.jail->binds = {{.from = WRENN_JAIL_PROBE, .to = "/probe", .executable = true}};
  return options;
}

// A running program and the end of its standard output.
struct Running {
  Process process;
  UniqueFd out;

  // What it says until there is no more of it, or until `end` has come.
  std::string Read(const std::string& end = {}) const {
    std::string text;
    char buffer[4096];
    while (end.empty() || text.find(end) == std::string::npos) {
      const auto got =
          ReadSome(out.get(), buffer, Deadline::After(std::chrono::milliseconds(20000)));
      EXPECT_TRUE(got) << got.error().ToString();
      if (!got || *got == 0) break;
      text.append(buffer, *got);
    }
    return text;
  }
};

inline Result<Running> StartWithOutput(SpawnOptions options) {
  ASSIGN_OR_RETURN(auto pair, SocketPair());
  options.stdout_fd = pair.second.get();
  ASSIGN_OR_RETURN(Process process, Process::Spawn(options));
  return Running{std::move(process), std::move(pair.first)};
}

// What a program says that ends by itself, in success.
inline std::string Output(SpawnOptions options) {
  auto running = StartWithOutput(std::move(options));
  EXPECT_TRUE(running) << running.error().ToString();
  if (!running) return {};
  std::string text = running->Read();
  const auto status = running->process.Wait(Deadline::After(std::chrono::milliseconds(20000)));
  EXPECT_TRUE(status && status->Success()) << status->ToString();
  return text;
}

// Lines "name value" by their names; equal names have their values joined by blanks.
inline std::map<std::string, std::string> Lines(const std::string& text) {
  std::map<std::string, std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    const size_t blank = line.find(' ');
    std::string& value = lines[line.substr(0, blank)];
    if (!value.empty()) value += ' ';
    if (blank != std::string::npos) value += line.substr(blank + 1);
  }
  return lines;
}

}  // namespace wrenn::os
