// Recovery: what a server does first with what an earlier one left.
#pragma once

#include "sandbox/directory.h"

namespace wrenn::sandbox {

// Goes through all records in parallel (see Sandbox::Recover()), then removes the folders, sockets
// and machines that no record accounts for. Returns when all is done; failures concern single
// sandboxes and are recorded with them, but for a store that cannot be read.
Status RecoverAll(Services& services, Directory& directory);

}  // namespace wrenn::sandbox
