// The environment of a process: as envd makes it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "guest/users.h"

namespace wrenn::guest {

using Environment = std::map<std::string, std::string>;

// PATH, HOME, USER and LOGNAME (and SHELL and TERM on a terminal), then the sandbox's defaults,
// then the request's, the later ones winning.
Environment MakeEnvironment(const User& user, bool terminal, const Environment& defaults,
                            const Environment& requested);

std::vector<std::string> FormatEnvironment(const Environment& environment);

// `path` as this user means it: "~" and relative ones start at the user's home, or `base` if given.
// The result is absolute, without ".", ".." and doubled slashes.
std::string ResolvePath(std::string_view path, const User& user, std::string_view base = {});

}  // namespace wrenn::guest
