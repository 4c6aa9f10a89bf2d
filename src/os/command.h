// Command: runs a helper program to its end and takes its output.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "os/process.h"

namespace wrenn::os {

struct CommandOptions {
  std::vector<std::string> argv;
  std::optional<std::vector<std::string>> environment;  // absent: the caller's own
  std::string directory;
  std::vector<int> pass_fds;      // become descriptors 3, 4, ... of the program
  size_t output_limit = 1 << 20;  // bytes of stdout that are taken
  // Gets stdout's bytes as they come, instead of their being kept.
  std::function<void(std::string_view)> on_stdout;
  // Gets stderr's bytes as they come, beside the end of them being kept.
  std::function<void(std::string_view)> on_stderr;
};

struct CommandResult {
  ExitStatus exit;
  std::string stdout_text;
  std::string stderr_text;  // the last 64 KiB
};

// Runs a program with an empty stdin in a session of its own; the program ends with the calling
// thread. At the deadline its whole process group is killed: kDeadlineExceeded. More output than
// the limit is kOutOfRange, and it is killed too. Any exit status is a result, not an error.
Result<CommandResult> RunCommand(const CommandOptions& options, Deadline deadline);

// The same, but an exit status other than 0 is kInternal: "mke2fs failed: exit code 1", with the
// last line of stderr in the message and the rest in the detail. Answers stdout.
Result<std::string> RunCommandOrFail(const CommandOptions& options, Deadline deadline);

// The last line of what a program said that is not blank, at most 300 characters, control
// characters left out: for messages.
std::string LastLine(std::string_view text);

}  // namespace wrenn::os
