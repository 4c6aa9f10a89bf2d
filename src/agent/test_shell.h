// For tests with a guest: what a shell in it says.
#pragma once

#include <string>
#include <variant>

#include "agent/client.h"

namespace wrenn::agent {

// What a shell command of root's writes to its output, or why it could not be had.
inline std::string RunShell(Client& client, const std::string& script, Deadline deadline) {
  wire::StartRequest request;
  request.process.cmd = "/bin/sh";
  request.process.args = {"-c", script};
  request.stdin_open = false;
  auto started = client.Start(request, {"root"}, std::chrono::milliseconds(0), deadline);
  if (!started) return started.error().ToString();
  std::string output;
  for (;;) {
    auto event = started->stream.Next(deadline);
    if (!event) return output + event.error().ToString();
    if (!*event) return output;
    if (const auto* bytes = std::get_if<wire::ProcessOutput>(&**event)) output += bytes->data;
  }
}

}  // namespace wrenn::agent
