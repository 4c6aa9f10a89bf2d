// The options of commands that run a program in a sandbox.
#pragma once

#include <string>
#include <vector>

#include "cli/guest_process.h"

namespace CLI {
class App;
}

namespace wrenn::cli {

struct ProcessFlags {
  std::string user;
  std::string cwd;
  std::vector<std::string> envs;
  int64_t timeout_sec = 0;
};

// --user, --cwd and, with `env_and_timeout`, --env and --timeout.
void AddProcessFlags(CLI::App& command, ProcessFlags& flags, bool env_and_timeout);

// Shows "PROGRAM..." in the help. Its words never reach the parser: see command_words.h.
void AddProgram(CLI::App& command, const std::string& description);

Result<ProcessOptions> MakeProcessOptions(const ProcessFlags& flags,
                                          std::vector<std::string> command);

// An error of starting a program as an exit code: 126 or 127 where a shell would say so, else the
// error.
Result<int> StartFailure(const Error& error);

}  // namespace wrenn::cli
