// Network: what a sandbox may reach, as requests, records and snapshots have it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "net/network_policy.h"
#include "store/store.h"

namespace wrenn::sandbox {

// What is absent is as by default, and of a change as it was. docs/networking.md, "Policy", says
// what each does.
struct Network {
  std::optional<bool> allow_internet_access;          // false
  std::optional<std::vector<std::string>> allow_out;  // addresses and networks; none
  std::optional<std::vector<std::string>> deny_out;   // the same
  std::optional<int64_t> upload_kbps;  // 1000 bits a second; 0, the default: no limit
  std::optional<int64_t> download_kbps;
  std::optional<int64_t>
      max_connections;  // 0: no limit; by default net::NetworkPolicy's, in a slot

  bool operator==(const Network&) const = default;
  // Whether nothing at all can be reached.
  bool IsOff() const;
  // Whether it is more than the internet or nothing, which only a network slot can do.
  bool NeedsSlot() const;
};

// Takes the members of an object of these names. kInvalidArgument, naming the member below `where`,
// for one that is wrong in any way, or unknown: a policy is not to be had in parts.
Result<Network> ParseNetwork(const json::object& object, const std::string& where);
json::object ToJson(const Network& network);

// `base` with what `change` says.
Network Merge(const Network& base, const Network& change);

// kInvalidArgument for lists that ParseNetwork() would not take.
Result<net::NetworkPolicy> PolicyOf(const Network& network);

// As records and snapshots' manifests have it, which say in `egress` whether the machine has a
// network at all: where there is no policy, that is the internet. kInvalidArgument as above.
Result<Network> NetworkOf(bool egress, const json::object& network);
inline Result<Network> NetworkOf(const store::SandboxRecord& record) {
  return NetworkOf(record.egress, record.network);
}

}  // namespace wrenn::sandbox
