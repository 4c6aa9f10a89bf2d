// NetworkPolicy: what a sandbox may reach.
#pragma once

#include <cstdint>
#include <vector>

#include "net/address_list.h"

namespace wrenn::net {

// Whatever it says, a sandbox never reaches its host, other sandboxes or special addresses
// (special_ranges.h), and never sends from an address that is not its own. What remains is decided
// by `allow`, then `deny`, then `internet`; nothing is reached from outside.
struct NetworkPolicy {
  // Whether what no list names may be reached. Without it names are not resolved either: a
  // question to a name server can carry anything anywhere.
  bool internet = false;
  std::vector<AddressRange> allow{};  // merged: ParseAllowedNetworks()
  std::vector<AddressRange> deny{};   // merged: ParseNetworks()

  // Bits a second, 0 for no limit.
  uint64_t upload = 0;
  uint64_t download = 0;
  // Connections (flows of UDP and ICMP too) at a time, 0 for no limit. They cost the host memory,
  // and every one of them counts towards net.netfilter.nf_conntrack_max.
  uint32_t connections = 2000;
};

}  // namespace wrenn::net
