// A program in a sandbox as if it ran here: its streams are ours, its signals too.
#pragma once

#include "cli/guest_process.h"
#include "cli/signals.h"

namespace wrenn::cli {

// Copies until the program has ended; each stream waits for its own reader alone. SIGINT, SIGTERM,
// SIGHUP and SIGQUIT in `signals` are passed on; the second SIGINT or SIGTERM kills the program,
// the third gives it up, also when nobody reads our output. Answers the exit code as a shell gives
// it. When stdout or stderr can take no more (a closed pipe) the program is killed, as it would
// have been by SIGPIPE.
Result<int> RunForeground(GuestProcess& process, SignalSource& signals, bool forward_stdin);

}  // namespace wrenn::cli
