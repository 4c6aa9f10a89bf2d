// What is at a path, in the form of the envd wire.
#pragma once

#include <sys/stat.h>

#include <functional>
#include <string>
#include <vector>

#include "guest/users.h"
#include "wire/agent_api.h"

namespace wrenn::guest {

// The entry at an absolute path. kNotFound "path '...' does not exist".
Result<wire::EntryInfo> DescribeEntry(const std::string& path, OwnerNames& names);

// "-rw-r--r--", "drwxr-xr-x", "Lrwxrwxrwx": the mode as Go's fs.FileMode prints it.
std::string PermissionText(mode_t mode);

// The names in a folder, sorted; nothing when it cannot be read.
std::vector<std::string> NamesIn(const std::string& path);

// Visits what is below a folder, `depth` levels deep, each level in the order of names, a folder
// before what is in it. What cannot be read (any more) is left out. Ends when `visit` fails.
// kNotFound when the path is missing, kInvalidArgument when it is not a folder.
using EntryVisitor = std::function<Status(const wire::EntryInfo&)>;
Status ListEntries(const std::string& path, uint32_t depth, const EntryVisitor& visit);

// Errors in the words of envd. That of a full disk has kDiskFull as its detail: of the errors of
// its code it is the one that has a status of its own in HTTP.
inline constexpr std::string_view kDiskFull = "no space left on device";
tl::unexpected<Error> PathError(std::string_view doing, const std::string& path, int error);

}  // namespace wrenn::guest
