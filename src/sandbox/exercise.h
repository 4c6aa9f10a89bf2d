// What is asked of a machine that others will be made of, or that will be handed out later, so that
// what the first requests of a sandbox need is there: files in the guest's page cache, its memory
// and threads, and under emulation the translated code.
#pragma once

#include <string>

#include "agent/client.h"

namespace wrenn::sandbox {

// Gives the guest the identity `id` and runs a program in it. With a token, only who knows it (as
// `agent` does then) can go on; without one ("") anybody. An error when the agent does not take the
// identity; a guest without that program is good enough.
Status ExerciseAgent(agent::Client& agent, const std::string& id, const std::string& token,
                     Deadline deadline);

}  // namespace wrenn::sandbox
