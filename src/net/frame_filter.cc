#include "net/frame_filter.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>

#include "net/special_ranges.h"

namespace wrenn::net {
namespace {

constexpr size_t kEthernetHeader = 14;
constexpr uint16_t kArp = 0x0806;
constexpr uint16_t kIpv4 = 0x0800;

uint16_t Number16(std::span<const unsigned char> bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}
uint32_t Number32(std::span<const unsigned char> bytes, size_t at) {
  return uint32_t{Number16(bytes, at)} << 16 | Number16(bytes, at + 2);
}

bool IsPublic(Address4 address) {
  return std::ranges::none_of(kSpecialRanges4, [address](const SpecialRange4& range) {
    return (address ^ range.address) >> (32 - range.bits) == 0;
  });
}

// Whether an IPv4 packet, whose header is whole but for its options, is a question for a resolver.
bool IsQuestion(std::span<const unsigned char> packet) {
  constexpr unsigned char kUdp = 17;
  constexpr uint16_t kFragment = 0x3fff;  // more fragments, or not the first
  constexpr uint16_t kDomain = 53;
  const size_t header = size_t{4} * (packet[0] & 15);
  constexpr size_t kPorts = 4;
  return packet[9] == kUdp && (Number16(packet, 6) & kFragment) == 0 &&
         packet.size() >= header + kPorts && Number16(packet, header + 2) == kDomain;
}

bool PacketMayLeave(std::span<const unsigned char> packet, const EgressPolicy& policy) {
  constexpr size_t kHeader = 20;
  if (!policy.host) return false;
  if (packet.size() < kHeader || packet[0] >> 4 != 4 || (packet[0] & 15) < 5) return false;
  const Address4 source = Number32(packet, 12);
  const Address4 destination = Number32(packet, 16);
  if (source != policy.guest) return false;
  if (destination == policy.gateway) return IsQuestion(packet);
  return IsPublic(destination) &&
         std::ranges::find(*policy.host, destination) == policy.host->end();
}

}  // namespace

Result<Address4> ParseAddress4(const std::string& text) {
  in_addr address{};
  if (::inet_pton(AF_INET, text.c_str(), &address) != 1) {
    return Fail(Code::kInvalidArgument, "'{}' is not an IPv4 address", text);
  }
  return ntohl(address.s_addr);
}

Result<std::vector<Address4>> HostAddresses() {
  std::vector<Address4> addresses;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) < 0) return Fail(ErrnoError("cannot list the host's addresses"));
  for (const ifaddrs* entry = list; entry; entry = entry->ifa_next) {
    if (!entry->ifa_addr || entry->ifa_addr->sa_family != AF_INET) continue;
    const auto* address = reinterpret_cast<const sockaddr_in*>(entry->ifa_addr);
    addresses.push_back(ntohl(address->sin_addr.s_addr));
  }
  ::freeifaddrs(list);
  return addresses;
}

bool MayLeave(std::span<const unsigned char> frame, const EgressPolicy& policy) {
  if (frame.size() < kEthernetHeader) return false;
  const uint16_t type = Number16(frame, 12);
  if (type == kArp) return true;
  return type == kIpv4 && PacketMayLeave(frame.subspan(kEthernetHeader), policy);
}

}  // namespace wrenn::net
