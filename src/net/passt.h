// passt: egress for one machine through an unprivileged process of its own (https://passt.top).
#pragma once

#include <string>

#include "base/unique_fd.h"
#include "os/process.h"

namespace wrenn::net {

// The addresses that the guest gets to see. They exist between the guest and its passt only.
struct UserNetwork {
  std::string address;
  std::string netmask;  // "255.255.255.0"
  std::string gateway;
  std::string dns;  // queries to this address go to the host's resolver
};

struct Passt {
  os::Process process;
  UniqueFd socket;  // the machine's end: frames, each behind its length (QEMU's -netdev stream)
};

// Whether passt can be had; kFailedPrecondition with the Debian package's name otherwise.
Status CheckPasst();

// The arguments, argv[0] included; the socket is `fd`. A pure function.
std::vector<std::string> PasstCommandLine(const UserNetwork& network, int fd);

// Starts one. It ends by itself when the machine's end of the socket is closed everywhere; it
// outlives this process. What it has to say goes to `stderr_fd`. Only IPv4; the guest reaches what
// the host reaches, but neither the host's loopback nor its gateway in the host's place.
Result<Passt> StartPasst(const UserNetwork& network, int stderr_fd);

}  // namespace wrenn::net
