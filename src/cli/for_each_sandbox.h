// Doing one thing to several sandboxes at once.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/api.h"

namespace wrenn::cli {

// Does `act` to every id, at most 8 at a time, and prints each id (unless `quiet`) when it is done,
// or the error. `doing` is what a terminal shows meanwhile. Answers how many failed.
size_t ForEachSandbox(const std::vector<std::string>& ids, const std::string& doing,
                      const std::function<Status(const std::string&)>& act, bool quiet = false);

// Stops every one in order, in the same way.
size_t StopSandboxes(const Api& api, const std::vector<std::string>& ids);

}  // namespace wrenn::cli
