// What a child does between its beginning and execve(2), for Process::Spawn().
#pragma once

#include <sys/types.h>

#include <string_view>
#include <vector>

#include "os/jail_setup.h"
#include "os/process.h"

namespace wrenn::os {

// Everything that the child needs, made ready before: between fork and execve of a program with
// threads only async-signal-safe functions may run, so no allocation.
struct ChildPlan {
  const SpawnOptions* options;
  const char* program;
  std::vector<char*> argv;
  std::vector<char*> environment;
  std::vector<int> sources;  // for descriptors 0, 1, 2, 3, ...
  int parent;                // a pidfd
  int error_pipe;
  const JailSetup* jail;  // nullptr: none
};

// What the child writes to the error pipe when it fails.
struct ChildError {
  int error;
  char step[40];
};

// The step of a ChildError that is the last one.
inline constexpr std::string_view kExecuteStep = "execute";

[[noreturn]] void RunChild(ChildPlan& plan);

}  // namespace wrenn::os
