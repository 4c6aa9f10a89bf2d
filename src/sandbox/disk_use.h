// What a sandbox takes of the host's disk.
#pragma once

#include <cstdint>
#include <optional>

#include "os/paths.h"
#include "store/store.h"

namespace wrenn::sandbox {

// Bytes that are allocated to its files that no other sandbox and no template has, of its disk, its
// memory and its machine's state: those that its removal gives back. Nothing when there is no disk:
// it has ended, or a change of its state moves that just now. Looks once at each of these files.
std::optional<uint64_t> DiskUsedBytes(const os::Paths& paths, const store::SandboxRecord& record);

}  // namespace wrenn::sandbox
