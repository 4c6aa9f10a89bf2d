// A channel as muxes over connections that are made in any way.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "agent/channel.h"

namespace wrenn::agent {

// How a lane connects to the guest's end of a mux.
struct Transport {
  // A connected, non-blocking socket. kAborted when it is worth trying again.
  std::function<Result<UniqueFd>(Deadline)> connect;
  // 0: connecting waits for the guest to answer. Otherwise a connection may come to nothing and
  // shows that only by silence or an early end: so it is tried again until the caller's deadline.
  // Each try, hand-shake included, has this limit; twice as much after one that took all of it. A
  // machine whose guest does not run cannot be connected to (see Channel::Open).
  std::chrono::milliseconds first_try{0};
};

// A mux per lane over connections of its own, made as MakeMuxChannel(paths) makes them.
std::unique_ptr<Channel> MakeMuxChannel(const Transport& transport);

}  // namespace wrenn::agent
