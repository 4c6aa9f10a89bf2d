// What becomes of running sandboxes when the server ends.
#pragma once

#include "base/deadline.h"
#include "sandbox/directory.h"
#include "sandbox/manager.h"

namespace wrenn::sandbox {

// Pauses or stops all that run, at the same time. What is not done at the deadline goes on.
void EndRunning(const Directory& directory, AtShutdown how, Deadline deadline);

}  // namespace wrenn::sandbox
