// Running a helper program for a probe.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace wrenn::cli::doctor {

// The program's stdout, when it exits with 0 within seconds.
Result<std::string> RunTool(std::vector<std::string> argv);

}  // namespace wrenn::cli::doctor
