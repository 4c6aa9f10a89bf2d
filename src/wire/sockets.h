// Stream sockets: listening and connecting, always non-blocking and close-on-exec.
#pragma once

#include <cstdint>
#include <string>

#include "base/io.h"

namespace wrenn::wire {

// A listening, non-blocking TCP socket on `address` (an IPv4 or IPv6 literal). Port 0 takes a free
// one.
Result<UniqueFd> ListenTcp(const std::string& address, uint16_t port);
// The port that a socket is bound to.
Result<uint16_t> LocalPort(int fd);
// A connected, non-blocking TCP socket.
Result<UniqueFd> ConnectTcp(const std::string& address, uint16_t port, Deadline deadline);
// The same on a unix socket. A path that is too long for a socket address is an error.
Result<UniqueFd> ListenUnix(const std::string& path);
Result<UniqueFd> ConnectUnix(const std::string& path, Deadline deadline);

}  // namespace wrenn::wire
