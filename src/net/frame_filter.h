// Which Ethernet frames of a guest may reach the user-mode network.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace wrenn::net {

// An IPv4 address as a number, 127.0.0.1 being 0x7f000001.
using Address4 = uint32_t;

// kInvalidArgument for what is no dotted address.
Result<Address4> ParseAddress4(const std::string& text);

struct EgressPolicy {
  Address4 guest = 0;    // the only source that is believed
  Address4 gateway = 0;  // also its resolver; the only special destination that is allowed
  // The host's own addresses; while they are not known, no packet leaves.
  std::optional<std::vector<Address4>> host;
};

// The host's own IPv4 addresses.
Result<std::vector<Address4>> HostAddresses();

// Deny what is not plainly the internet. What may leave are ARP questions, and IPv4 packets of the
// guest's own address to a public address or, to the gateway, questions for its resolver: whole UDP
// datagrams to port 53. So not: this host by any of its addresses, loopback, link-local and other
// addresses of the clouds' metadata services, private networks, multicast, broadcast, reserved
// ranges, IPv6.
//
// It has to be looked at frame by frame: the guest's user may be root and write any destination
// into its frames, 127.0.0.1 too, and passt would connect to it in the host's name. The ranges are
// in special_ranges.h.
bool MayLeave(std::span<const unsigned char> frame, const EgressPolicy& policy);

}  // namespace wrenn::net
