// The agent's channel over Firecracker's vsock.
//
// Source: docs/vsock.md of Firecracker. The host connects to the device's unix socket and says
// "CONNECT <port>\n"; Firecracker answers "OK <its own port>\n" when the guest has accepted, and
// else closes the connection.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "agent/channel.h"

namespace wrenn::vmm {

// `socket_path` is the vsock device's. What it connects to is a mux in the guest, as on
// virtio-serial: its hand-shake shows that somebody answers, ports of the guest can be reached
// through it, and streams can be closed one way, which Firecracker's vsock does not pass on.
//
// Firecracker does not say when the guest begins to listen, and after a restore a connection may be
// accepted and then broken, or hang: so connecting is tried again until the deadline.
std::unique_ptr<agent::Channel> MakeVsockChannel(std::string socket_path);

// Connects to a port of the guest, once. kAborted when the guest does not listen there (yet),
// kUnavailable or kNotFound when Firecracker does not run.
Result<UniqueFd> ConnectVsock(const std::string& socket_path, uint32_t port, Deadline deadline);

}  // namespace wrenn::vmm
