// Starting a program: vfork and exec, safe in a program with threads.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "guest/init/reaper.h"
#include "guest/users.h"

namespace wrenn::guest {

// A program to start. It leads a session and a process group of its own.
struct SpawnRequest {
  std::string command;                 // as it was asked for; argv[0] and the name in errors
  std::vector<std::string> paths;      // tried in order, as execvp(3) does
  std::vector<std::string> arguments;  // without argv[0]
  std::vector<std::string> environment;
  std::string cwd;
  int stdio[3] = {-1, -1, -1};  // descriptors 0 to 2
  bool terminal = false;        // stdio[0] is a terminal and becomes the controlling one
  std::optional<User> user;     // whom to become; unset: who we are
  int cgroup = -1;              // the folder of the one that it is born in; -1: ours
  bool guard_agent = false;     // lower priority than the agent's
};

// The places where `command` may be: itself if it has a slash, else below each folder of PATH.
std::vector<std::string> CommandPaths(std::string_view command, std::string_view path_variable);

// Returns when the program runs. kNotFound: no such command; kPermissionDenied: it is not
// executable, or this process may not become that user; kInvalidArgument: bad cwd, or not a
// program.
Result<std::shared_ptr<Child>> Spawn(const SpawnRequest& request);

}  // namespace wrenn::guest
