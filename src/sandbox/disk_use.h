// What the disk of a sandbox takes on the host.
#pragma once

#include <cstdint>
#include <optional>

#include "os/paths.h"
#include "store/store.h"

namespace wrenn::sandbox {

// Bytes that are allocated to the files of its disk that no other sandbox and no snapshot has:
// those that its removal gives back. Nothing when there are none: it has ended, or a change of its
// state moves them just now. Looks once at each of these files.
std::optional<uint64_t> DiskUsedBytes(const os::Paths& paths, const store::SandboxRecord& record);

}  // namespace wrenn::sandbox
