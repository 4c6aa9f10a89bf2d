// Results on stdout: JSON for programs.
#pragma once

#include "base/json.h"

namespace wrenn::cli {

// Indented by two spaces, with a newline at its end.
std::string FormatJson(const json::value& value);
void PrintJson(const json::value& value);

}  // namespace wrenn::cli
