// The life of a sandbox as a table: which state may follow which.
#pragma once

#include "base/result.h"
#include "store/store.h"

namespace wrenn::sandbox {

// Whether a sandbox may go from one state to the other. Staying in a state is no transition.
bool MayFollow(store::SandboxState from, store::SandboxState to);

// kInternal, naming both states, for a transition that is not in the table.
Status CheckTransition(const std::string& id, store::SandboxState from, store::SandboxState to);

}  // namespace wrenn::sandbox
