// What is asked of a machine that others will be made of, or that will be handed out later, so that
// what the first requests of a sandbox need is there: files in the guest's page cache, its memory
// and threads, and under emulation the translated code.
#pragma once

#include <string>

#include "agent/client.h"

namespace wrenn::sandbox {

// Gives the guest the identity `id` (no token, so another can follow) and runs a program in it. An
// error when the agent does not take the identity; a guest without that program is good enough.
Status ExerciseAgent(agent::Client& agent, const std::string& id, Deadline deadline);

}  // namespace wrenn::sandbox
