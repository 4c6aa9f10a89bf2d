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

// The addresses that the guest gets to see: of a block that is never routed (RFC 7335), so they
// meet no network that the host is in. They exist between a guest and its passt only, and all use
// the same.
inline constexpr const char* kGuestAddress = "192.0.0.2";
inline constexpr const char* kGuestNetmask = "255.255.255.248";
// Also the guest's resolver: UDP to its port 53 goes to the host's.
inline constexpr const char* kGuestGateway = "192.0.0.1";

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
// public addresses, not the host, its loopback or private networks (frame_filter.h).
Result<UserNetwork> StartUserNetwork(int stderr_fd);

}  // namespace wrenn::net
