#include "os/nft_rule.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <net/if.h>
#include <netinet/in.h>

namespace wrenn::os {
namespace {

// Registers of 16 bytes that lie one behind the other.
constexpr uint32_t kFirst = NFT_REG_1;
constexpr uint32_t kSecond = NFT_REG_2;

std::string InterfaceName(const std::string& name) {
  std::string padded = name;
  padded.resize(IFNAMSIZ);
  return padded;
}

}  // namespace

template <typename Fill>
void NftRule::Add(const char* name, const Fill& fill) {
  expressions_.Nest(NFTA_LIST_ELEM, [&] {
    expressions_.PutString(NFTA_EXPR_NAME, name);
    expressions_.Nest(NFTA_EXPR_DATA, fill);
  });
}

void NftRule::Meta(uint32_t key, uint32_t to_register) {
  Add("meta", [&] {
    expressions_.PutBig32(NFTA_META_DREG, to_register);
    expressions_.PutBig32(NFTA_META_KEY, key);
  });
}

void NftRule::Payload(uint32_t base, uint32_t offset, uint32_t length, uint32_t to_register) {
  Add("payload", [&] {
    expressions_.PutBig32(NFTA_PAYLOAD_DREG, to_register);
    expressions_.PutBig32(NFTA_PAYLOAD_BASE, base);
    expressions_.PutBig32(NFTA_PAYLOAD_OFFSET, offset);
    expressions_.PutBig32(NFTA_PAYLOAD_LEN, length);
  });
}

void NftRule::Compare(std::string_view value, bool equal) {
  Add("cmp", [&] {
    expressions_.PutBig32(NFTA_CMP_SREG, kFirst);
    expressions_.PutBig32(NFTA_CMP_OP, equal ? NFT_CMP_EQ : NFT_CMP_NEQ);
    expressions_.Nest(NFTA_CMP_DATA, [&] { expressions_.Put(NFTA_DATA_VALUE, value); });
  });
}

void NftRule::Lookup(const std::string& set) {
  Add("lookup", [&] {
    expressions_.PutString(NFTA_LOOKUP_SET, set);
    expressions_.PutBig32(NFTA_LOOKUP_SREG, kFirst);
  });
}

void NftRule::Family(int family) {
  Meta(NFT_META_NFPROTO, kFirst);
  Compare(BytesOf(static_cast<uint8_t>(family == AF_INET6 ? NFPROTO_IPV6 : NFPROTO_IPV4)), true);
}

void NftRule::Address(int family, Side side, uint32_t to_register, uint32_t length) {
  const bool v6 = family == AF_INET6;
  const uint32_t size = v6 ? 16 : 4;
  const uint32_t source = v6 ? 8 : 12;  // where it is in the header
  Payload(NFT_PAYLOAD_NETWORK_HEADER, side == Side::kSource ? source : source + size,
          length == 0 ? size : length, to_register);
}

void NftRule::Verdict(int code, const std::string& chain) {
  Add("immediate", [&] {
    expressions_.PutBig32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    expressions_.Nest(NFTA_IMMEDIATE_DATA, [&] {
      expressions_.Nest(NFTA_DATA_VERDICT, [&] {
        expressions_.PutBig32(NFTA_VERDICT_CODE, static_cast<uint32_t>(code));
        if (!chain.empty()) expressions_.PutString(NFTA_VERDICT_CHAIN, chain);
      });
    });
  });
}

void NftRule::Rejection(uint32_t type, uint8_t code) {
  Add("reject", [&] {
    expressions_.PutBig32(NFTA_REJECT_TYPE, type);
    expressions_.PutNumber(NFTA_REJECT_ICMP_CODE, code);
  });
}

NftRule& NftRule::From(const std::string& interface) {
  Meta(NFT_META_IIFNAME, kFirst);
  Compare(InterfaceName(interface), true);
  return *this;
}

NftRule& NftRule::To(const std::string& interface) {
  Meta(NFT_META_OIFNAME, kFirst);
  Compare(InterfaceName(interface), true);
  return *this;
}

NftRule& NftRule::FromPrefix(const std::string& prefix) {
  Meta(NFT_META_IIFNAME, kFirst);
  Compare(prefix, true);
  return *this;
}

NftRule& NftRule::NotFromPrefix(const std::string& prefix) {
  Meta(NFT_META_IIFNAME, kFirst);
  Compare(prefix, false);
  return *this;
}

NftRule& NftRule::ToPrefix(const std::string& prefix) {
  Meta(NFT_META_OIFNAME, kFirst);
  Compare(prefix, true);
  return *this;
}

NftRule& NftRule::NotToPrefix(const std::string& prefix) {
  Meta(NFT_META_OIFNAME, kFirst);
  Compare(prefix, false);
  return *this;
}

NftRule& NftRule::Source(const IpAddress& address) {
  Family(address.family());
  Address(address.family(), Side::kSource, kFirst);
  Compare(address.bytes(), true);
  return *this;
}

NftRule& NftRule::NotSource(const IpAddress& address) {
  Family(address.family());
  Address(address.family(), Side::kSource, kFirst);
  Compare(address.bytes(), false);
  return *this;
}

NftRule& NftRule::SourceWithin(const IpAddress& a, int prefix) {
  const auto length = static_cast<uint32_t>(prefix / 8);
  Family(a.family());
  Address(a.family(), Side::kSource, kFirst, length);
  Compare(a.bytes().substr(0, length), true);
  return *this;
}

NftRule& NftRule::Destination(const IpAddress& address) {
  Family(address.family());
  Address(address.family(), Side::kDestination, kFirst);
  Compare(address.bytes(), true);
  return *this;
}

NftRule& NftRule::SourceIn(int family, const std::string& set) {
  Family(family);
  Address(family, Side::kSource, kFirst);
  Lookup(set);
  return *this;
}

NftRule& NftRule::DestinationIn(int family, const std::string& set) {
  Family(family);
  Address(family, Side::kDestination, kFirst);
  Lookup(set);
  return *this;
}

NftRule& NftRule::InterfaceAndSourceIn(int family, const std::string& set) {
  Family(family);
  Meta(NFT_META_IIFNAME, kFirst);
  Address(family, Side::kSource, kSecond);
  Lookup(set);
  return *this;
}

NftRule& NftRule::Protocol(uint8_t protocol) {
  Meta(NFT_META_L4PROTO, kFirst);
  Compare(BytesOf(protocol), true);
  return *this;
}

NftRule& NftRule::DestinationPort(uint16_t port) {
  Payload(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, kFirst);
  Compare(BytesOf(htons(port)), true);
  return *this;
}

NftRule& NftRule::Icmp6Type(uint8_t type) {
  Family(AF_INET6);
  Protocol(IPPROTO_ICMPV6);
  Payload(NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1, kFirst);
  Compare(BytesOf(type), true);
  return *this;
}

NftRule& NftRule::Connection(uint32_t states) {
  Add("ct", [&] {
    expressions_.PutBig32(NFTA_CT_DREG, kFirst);
    expressions_.PutBig32(NFTA_CT_KEY, NFT_CT_STATE);
  });
  const uint32_t none = 0;
  Add("bitwise", [&] {
    expressions_.PutBig32(NFTA_BITWISE_SREG, kFirst);
    expressions_.PutBig32(NFTA_BITWISE_DREG, kFirst);
    expressions_.PutBig32(NFTA_BITWISE_LEN, sizeof states);
    expressions_.Nest(NFTA_BITWISE_MASK,
                      [&] { expressions_.Put(NFTA_DATA_VALUE, BytesOf(states)); });
    expressions_.Nest(NFTA_BITWISE_XOR, [&] { expressions_.Put(NFTA_DATA_VALUE, BytesOf(none)); });
  });
  Compare(BytesOf(none), false);
  return *this;
}

NftRule& NftRule::MoreConnectionsThan(uint32_t count) {
  Add("connlimit", [&] {
    expressions_.PutBig32(NFTA_CONNLIMIT_COUNT, count);
    expressions_.PutBig32(NFTA_CONNLIMIT_FLAGS, NFT_CONNLIMIT_F_INV);
  });
  return *this;
}

NftRule& NftRule::FasterThan(uint64_t per_second, uint32_t burst) {
  Add("limit", [&] {
    expressions_.PutBig64(NFTA_LIMIT_RATE, per_second);
    expressions_.PutBig64(NFTA_LIMIT_UNIT, 1);
    expressions_.PutBig32(NFTA_LIMIT_BURST, burst);
    expressions_.PutBig32(NFTA_LIMIT_TYPE, NFT_LIMIT_PKTS);
    expressions_.PutBig32(NFTA_LIMIT_FLAGS, NFT_LIMIT_F_INV);
  });
  return *this;
}

NftRule& NftRule::Accept() {
  Verdict(NF_ACCEPT);
  return *this;
}

NftRule& NftRule::Drop() {
  Verdict(NF_DROP);
  return *this;
}

NftRule& NftRule::Jump(const std::string& chain) {
  Verdict(NFT_JUMP, chain);
  return *this;
}

NftRule& NftRule::Goto(const std::string& chain) {
  Verdict(NFT_GOTO, chain);
  return *this;
}

NftRule& NftRule::RejectConnection() {
  Protocol(IPPROTO_TCP);
  Rejection(NFT_REJECT_TCP_RST, 0);
  return *this;
}

NftRule& NftRule::Reject() {
  Rejection(NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_ADMIN_PROHIBITED);
  return *this;
}

NftRule& NftRule::Masquerade() {
  Add("masq", [] {});
  return *this;
}

}  // namespace wrenn::os
