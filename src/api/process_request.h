// What the routes that start or find processes have in common.
#pragma once

#include <string>

#include "agent/client.h"
#include "base/json.h"

namespace wrenn::api {

// The longest time limit of a process, in seconds.
inline constexpr int64_t kMaxProcessSeconds = 366L * 24 * 3600;

// A process to start, decoded from JSON.
struct ProcessRequest {
  wire::StartRequest start;
  agent::As as;
  std::chrono::milliseconds timeout{0};  // zero: no limit
};

// Reads cmd, args, envs, cwd, user, tag and timeout_sec. Without `default_cmd` cmd is required.
// Errors are left in the reader.
ProcessRequest ReadProcess(JsonReader& reader, int64_t default_timeout_sec,
                           std::string_view default_cmd = {});

// A process as a path or message names it: digits are a pid, else it is a tag. kNotFound for what
// can be neither.
Result<wire::ProcessSelector> ParseSelector(const std::string& text);
// The members pid or tag, of which there must be one.
Result<wire::ProcessSelector> ReadSelector(JsonReader& reader);

// "SIGTERM", "TERM" or 15. Errors are left in the reader.
wire::Signal ReadSignal(JsonReader& reader, std::string_view name);

// An error of starting or finding a process, as the client shall see it: what the sandbox lacks
// (the program, the folder, the user) is the request's fault, not a missing sandbox.
Error ProcessError(Error error);

}  // namespace wrenn::api
