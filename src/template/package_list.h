// Package lists: the files that say what a template contains.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace wrenn::template_ {

// The list of the template `base` (templates/base.packages).
extern const char* const kBasePackages;

// Parses a list: one Debian package name a line, "#" begins a comment. Answers the names sorted and
// each once. kInvalidArgument names the line that is not a package's name, and refuses an empty
// list.
Result<std::vector<std::string>> ParsePackageList(std::string_view text);

}  // namespace wrenn::template_
