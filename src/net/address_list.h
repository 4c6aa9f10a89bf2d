// Lists of addresses and networks, as users write them and as the packet filter has them.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "os/nftables.h"

namespace wrenn::net {

using os::AddressRange;
using os::IpAddress;

// The most entries that a list may have.
inline constexpr size_t kMaxListEntries = 1000;

// One address ("1.2.3.4", "2606:4700::1") or network ("1.2.3.0/24"). Strict: kInvalidArgument, with
// what is meant where that can be told, for anything else; also for a network with bits behind its
// prefix ("1.2.3.4/24").
Result<AddressRange> ParseNetwork(const std::string& text);

// All of them, merged. kInvalidArgument names the first entry that is wrong; also for more than
// kMaxListEntries.
Result<std::vector<AddressRange>> ParseNetworks(const std::vector<std::string>& texts);

// The same, of networks that are to be allowed: one that lies in ranges that are never reached
// (special_ranges.h) is kInvalidArgument, since it would seem to be allowed.
Result<std::vector<AddressRange>> ParseAllowedNetworks(const std::vector<std::string>& texts);

// In order, without overlaps or neighbours.
std::vector<AddressRange> Merge(std::vector<AddressRange> ranges);

// Those of one family (AF_INET, AF_INET6).
std::vector<AddressRange> OfFamily(const std::vector<AddressRange>& ranges, int family);

// The special ranges of both families, and all addresses of both.
const std::vector<AddressRange>& SpecialRanges();
const std::vector<AddressRange>& AllAddresses();

}  // namespace wrenn::net
