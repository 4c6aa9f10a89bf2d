// The user-mode network: egress for one machine by unprivileged processes of its own.
//
//   machine  <- frames ->  wrenn-egress (what may leave)  <- frames ->  passt  <- sockets ->
//   internet
#pragma once

#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "os/process.h"

namespace wrenn::net {

struct UserNetwork {
  std::vector<os::Process> processes;
  UniqueFd socket;  // the machine's end: frames, each behind its length (QEMU's -netdev stream)
};

// Whether it can be had; kFailedPrecondition with the remedy otherwise. Whether the kernel lets
// passt shut itself in is tried once per process.
Status CheckUserNetwork();

// passt's arguments, argv[0] included; its socket is descriptor `fd`. A pure function.
std::vector<std::string> PasstCommandLine(int fd);

// Starts one. It ends by itself when the machine's end of the socket is closed everywhere; it
// outlives this process. What it has to say goes to `stderr_fd`. IPv4 only. The guest reaches
// public addresses, not the host, its loopback or private networks (frame_filter.h). It is
// configured as in a slot (slot_plan.h), whose addresses here exist between it and its passt only;
// the gateway is its resolver, too: UDP to port 53 goes to the host's.
Result<UserNetwork> StartUserNetwork(int stderr_fd);

}  // namespace wrenn::net
