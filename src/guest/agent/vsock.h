// The agent's channel on vsock: each connection carries many streams (wire/mux.h).
#pragma once

#include <cstdint>
#include <functional>

#include "base/io.h"

namespace wrenn::guest {

// Serves connections of the host to the agent's port for as long as the program runs, each on a
// thread of its own; the guest's own programs are refused. `accept(port)` answers a stream to a
// port of the guest: a connected, non-blocking socket.
Status ServeVsock(std::function<Result<UniqueFd>(uint16_t port)> accept);

}  // namespace wrenn::guest
