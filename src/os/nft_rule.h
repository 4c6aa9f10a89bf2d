// NftRule: one rule of a chain, put together from what nft(8) compiles its text to.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "os/ip_address.h"
#include "os/netlink_message.h"

namespace wrenn::os {

// Each call adds a condition or, at the end, what happens when all hold:
//
//   NftRule().From("tap0").NotSource(guest).Drop()
//
// The words behind a call are nft's own for it.
class NftRule {
 public:
  NftRule& From(const std::string& interface);                 // iifname "tap0"
  NftRule& To(const std::string& interface);                   // oifname "tap0"
  NftRule& FromPrefix(const std::string& prefix);              // iifname "wrenn-*"
  NftRule& NotFromPrefix(const std::string& prefix);           // iifname != "wrenn-*"
  NftRule& ToPrefix(const std::string& prefix);                // oifname "wrenn-*"
  NftRule& NotToPrefix(const std::string& prefix);             // oifname != "wrenn-*"
  NftRule& Source(const IpAddress& address);                   // ip saddr A
  NftRule& NotSource(const IpAddress& address);                // ip saddr != A
  NftRule& SourceWithin(const IpAddress& a, int prefix);       // ip saddr A/P, P a multiple of 8
  NftRule& Destination(const IpAddress& address);              // ip daddr A
  NftRule& SourceIn(int family, const std::string& set);       // ip saddr @set
  NftRule& DestinationIn(int family, const std::string& set);  // ip daddr @set
  NftRule& InterfaceAndSourceIn(int family, const std::string& set);  // iifname . ip saddr @set
  NftRule& Protocol(uint8_t protocol);                                // meta l4proto tcp
  NftRule& DestinationPort(uint16_t port);                            // th dport 53
  NftRule& Icmp6Type(uint8_t type);                          // icmpv6 type nd-neighbor-solicit
  NftRule& Connection(uint32_t states);                      // ct state established,related
  NftRule& MoreConnectionsThan(uint32_t count);              // ct count over N
  NftRule& FasterThan(uint64_t per_second, uint32_t burst);  // limit rate over N/second burst M

  NftRule& Accept();
  NftRule& Drop();
  NftRule& Jump(const std::string& chain);
  NftRule& Goto(const std::string& chain);
  NftRule& RejectConnection();  // reject with tcp reset
  NftRule& Reject();            // reject with icmpx admin-prohibited
  NftRule& Masquerade();

  // For Connection(), may be combined by |.
  static constexpr uint32_t kInvalid = 1;
  static constexpr uint32_t kEstablished = 2;
  static constexpr uint32_t kRelated = 4;

  // A list of expressions (NFTA_RULE_EXPRESSIONS).
  const NetlinkAttributes& expressions() const { return expressions_; }

 private:
  enum class Side { kSource, kDestination };
  template <typename Fill>
  void Add(const char* name, const Fill& fill);
  void Meta(uint32_t key, uint32_t to_register);
  void Payload(uint32_t base, uint32_t offset, uint32_t length, uint32_t to_register);
  void Compare(std::string_view value, bool equal);
  void Lookup(const std::string& set);
  void Family(int family);
  void Address(int family, Side side, uint32_t to_register, uint32_t length = 0);
  void Verdict(int code, const std::string& chain = {});
  void Rejection(uint32_t type, uint8_t code);

  NetlinkAttributes expressions_;
};

}  // namespace wrenn::os
