// Doing one thing to several sandboxes at once.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/api.h"

namespace wrenn::cli {

// Does `act` to every id, at most 8 at a time, and prints each id when it is done or the error.
// Answers how many failed.
size_t ForEachSandbox(const std::vector<std::string>& ids,
                      const std::function<Status(const std::string&)>& act);

// Stops every one in order, in the same way.
size_t StopSandboxes(const Api& api, const std::vector<std::string>& ids);

}  // namespace wrenn::cli
