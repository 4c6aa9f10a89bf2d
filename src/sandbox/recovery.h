// Recovery: what a server does first with what an earlier one left.
#pragma once

#include "sandbox/directory.h"

namespace wrenn::sandbox {

// Opens HostResources for the engine and disks of this backend. Goes through all records in
// parallel (see Sandbox::Recover()), then removes the folders, sockets devices and machines that no
// record accounts for. Returns when all is done; failures concern single sandboxes and are recorded
// with them, but for a store that cannot be read and for those of HostResources::Open().
Status RecoverAll(Services& services, Directory& directory, const std::string& backend);

}  // namespace wrenn::sandbox
