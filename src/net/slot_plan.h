// SlotPlan: the addresses and names of a network slot. A pure function of its number.
//
//        namespace wrenn-7                                           the host
//   guest              tap0      veth0 ──────────────────── wrenn-7        eth0 ── internet
//   169.254.0.21 ── 169.254.0.22 10.12.0.15      10.12.0.14/31             (its own)
//
// What the guest sees is the same in every slot, so a snapshot fits each.
#pragma once

#include <string>

#include "base/result.h"
#include "os/ip_address.h"
#include "os/links.h"

namespace wrenn::net {

// Inside the namespace.
inline constexpr const char* kTapName = "tap0";
inline constexpr const char* kUplinkName = "veth0";
// The guest's interface and the TAP device, which is its gateway and name server.
inline constexpr const char* kSlotGuestAddress = "169.254.0.21";
inline constexpr const char* kSlotGateway = "169.254.0.22";
inline constexpr const char* kSlotNetmask = "255.255.255.252";
inline constexpr int kSlotPrefix = 30;
inline constexpr const char* kSlotGuestAddress6 = "fd77:7265:6e6e::2";
inline constexpr const char* kSlotGateway6 = "fd77:7265:6e6e::1";
// What the guest's kernel makes of its MAC address (RFC 4291, appendix A).
inline constexpr const char* kSlotGuestLinkLocal6 = "fe80::fc:ff:fe00:5";
inline constexpr int kSlotPrefix6 = 126;
// For the guest's kernel: what wrenn-init makes of "wrenn.ip6=" (guest/init/network.h).
std::string SlotIp6Argument();
inline constexpr os::MacAddress kSlotGuestMac = {0x02, 0xfc, 0, 0, 0, 0x05};
inline constexpr os::MacAddress kSlotTapMac = {0x02, 0xfc, 0, 0, 0, 0x06};

// Our mark: what namespaces and devices of the host are named by, with the slot's number.
inline constexpr const char* kSlotMark = "wrenn-";
inline constexpr int kMaxSlots = 1 << 15;  // pairs in a block

// Where the pairs between host and namespaces are taken from: 10.12.0.0/16 and, with the same lower
// bits, fd77:7265:6e6e:1::/64.
inline constexpr int kBlockPrefix = 16;
inline constexpr int kBlockPrefix6 = 64;
os::IpAddress DefaultBlock();
os::IpAddress Block6();

struct SlotPlan {
  // `index` from 0 to kMaxSlots - 1; `block` is a network of 16 bits.
  static SlotPlan For(int index, const os::IpAddress& block = DefaultBlock());

  int index = 0;
  std::string name;  // of the namespace and of the host's device
  // The pair between host and namespace: a /31 and a /127.
  os::IpAddress host, inside;
  os::IpAddress host6, inside6;
  os::MacAddress host_mac{}, inside_mac{};
};

// The number in a name that a slot would have; kNotFound for other names.
Result<int> SlotIndexOf(const std::string& name);

}  // namespace wrenn::net
