// Observer: what happens in the background, told to the program, which logs it.
#pragma once

#include <functional>
#include <string>

#include "base/json.h"

namespace wrenn::sandbox {

enum class Severity { kInfo, kWarning, kError };

struct Happening {
  Severity severity = Severity::kInfo;
  std::string sandbox_id;  // empty when it concerns no single one
  std::string message;     // "started", "stopped: idle for 300 s", ...
  json::object details;    // milliseconds per phase, errors in full; for the log, not for users
};

// Called from any thread, possibly several at a time; it must not call the manager.
using Observer = std::function<void(const Happening&)>;

}  // namespace wrenn::sandbox
