// Packing a local folder into a tar stream.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace wrenn::cli {

// Takes the next bytes of the stream; an error ends the packing.
using TarSink = std::function<Status(std::string_view)>;

// Writes everything below `folder` as a GNU tar stream with paths relative to it, "." first. Modes,
// times and symbolic links are kept, owners are not (all is root's, so that whoever unpacks owns
// it); sockets, pipes and devices are left out, each with a note to the user. Memory use is
// constant.
Status PackTar(const std::string& folder, const TarSink& sink);

}  // namespace wrenn::cli
