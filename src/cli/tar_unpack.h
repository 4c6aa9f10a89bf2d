// Unpacking a tar stream that a guest wrote, which may be hostile.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "base/result.h"

namespace wrenn::cli {

// Gives the next bytes of the stream; 0 at its end.
using TarSource = std::function<Result<size_t>(std::span<char>)>;

// Unpacks into `folder`, which exists and is empty. What could reach outside is an error, after
// which the folder may hold a part: absolute paths, "..", paths through symbolic links, hard links
// to such. Files, folders and symbolic links are made, with their permission bits (never set-uid,
// set-gid or sticky) and times, owned by the caller; devices, pipes and sockets are left out with a
// note.
Status UnpackTar(const TarSource& source, const std::string& folder);

// Moves everything in `from` into the existing folder `to`, merging folders and replacing files,
// each by one rename. A symbolic link in `to` is never followed: a folder does not go where a link
// is. Both are on one file system. What was moved before an error stays.
Status MoveInto(const std::string& from, const std::string& to);

}  // namespace wrenn::cli
