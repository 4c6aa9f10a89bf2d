// Invocation: what a parsed command line asks for, and the exit codes of `wrenn`.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace wrenn::cli {

// Exit codes. A program that ran in a sandbox gives its own (128 + n when signal n ended it).
inline constexpr int kSuccess = 0;
inline constexpr int kFailure = 1;          // the command failed
inline constexpr int kUsageError = 2;       // the command line was wrong
inline constexpr int kOwnFailure = 125;     // run, exec, shell: wrenn failed, not the program
inline constexpr int kCannotExecute = 126;  // run, exec, shell: the program could not be executed
inline constexpr int kNoSuchProgram = 127;  // run, exec, shell: there is no such program
inline constexpr int kSignalBase = 128;

// Filled in by the subcommand that the command line named.
struct Invocation {
  // The program to run in a sandbox with its arguments: what follows the options of run, exec,
  // shell.
  std::vector<std::string> command;
  // Does it; the value is the exit code. An error is printed and becomes `failure_code`.
  std::function<Result<int>()> run;
  int failure_code = kFailure;
};

}  // namespace wrenn::cli
