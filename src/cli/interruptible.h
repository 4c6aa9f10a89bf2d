// Interruptible: work over the server's connections that a signal breaks off in order.
#pragma once

#include <functional>

#include "cli/api.h"

namespace wrenn::cli {

// Does `work` with the server of the environment. A signal to end (SIGINT, SIGTERM, SIGHUP,
// SIGQUIT) breaks the connections, so that the work fails and removes what is half-made; the exit
// code is then the signal's. It ends at once at the second signal, or after 10 s: the work may wait
// for our own stdin or stdout.
Result<int> Interruptible(const std::function<Result<int>(const Api&)>& work);

}  // namespace wrenn::cli
