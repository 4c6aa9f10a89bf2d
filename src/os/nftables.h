// nftables: changes to the packet filter's rules over netlink, many in one transaction. The terms
// are those of nft(8); the messages are those of <linux/netfilter/nf_tables.h>.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "os/ip_address.h"
#include "os/netlink.h"
#include "os/nft_rule.h"

namespace wrenn::os {

// The key of a set with entries (interface name, address), as the kernel compares it.
std::string NftInterfaceKey(const std::string& interface, const IpAddress& address);

// A run of addresses, both ends included.
struct AddressRange {
  IpAddress first;
  IpAddress last;
  auto operator<=>(const AddressRange&) const = default;
};

// Changes to one table of the family `inet`, all made or none.
class NftTransaction {
 public:
  enum class Key { kIpv4, kIpv6, kInterfaceIpv4, kInterfaceIpv6 };
  // A chain that sees the packets of a hook.
  struct Hook {
    const char* type;   // "filter", "nat"
    unsigned number;    // NF_INET_PRE_ROUTING, ...
    int priority;       // NF_IP_PRI_FILTER, ...
    bool drop = false;  // what no rule has decided
  };

  explicit NftTransaction(std::string table);

  // Harmless when it is there.
  void AddTable();
  void DeleteTable();
  void AddChain(const std::string& name);
  void AddChain(const std::string& name, const Hook& hook);
  // Removes all rules of a chain.
  void FlushChain(const std::string& name);
  void AddRule(const std::string& chain, const NftRule& rule);
  // A set of single keys, found by their hash.
  void AddSet(const std::string& name, Key key);
  // A set of ranges of addresses.
  void AddRangeSet(const std::string& name, Key key);
  void FlushSet(const std::string& name);
  void AddKeys(const std::string& set, const std::vector<std::string>& keys);
  // All of them must be there.
  void DeleteKeys(const std::string& set, const std::vector<std::string>& keys);
  // Ranges of the set's family, which must not overlap.
  void AddRanges(const std::string& set, const std::vector<AddressRange>& ranges);

 private:
  friend class Nftables;
  struct Element {
    std::string key;
    bool end = false;  // of a range: the first address behind it
  };
  void Begin(std::string what, int type, uint16_t flags);
  void AddSet(const std::string& name, Key key, uint32_t flags);
  void PutElements(int type, const std::string& set, const std::vector<Element>& elements);

  std::string table_;
  NetlinkRequest request_;
  uint32_t sets_ = 0;
};

// Asks in the network namespace that its thread was in when it was opened. Needs CAP_NET_ADMIN
// there.
class Nftables {
 public:
  static Result<Nftables> Open();

  Status Commit(NftTransaction& transaction);
  // The keys of a set; kNotFound when there is no such set or table.
  Result<std::vector<std::string>> Keys(const std::string& table, const std::string& set);

 private:
  explicit Nftables(NetlinkSocket socket) : socket_(std::move(socket)) {}
  NetlinkSocket socket_;
};

}  // namespace wrenn::os
