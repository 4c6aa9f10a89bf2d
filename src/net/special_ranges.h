// What is not the internet: addresses that no sandbox reaches, whatever it is allowed.
#pragma once

#include <array>
#include <cstdint>

namespace wrenn::net {

struct SpecialRange4 {
  uint32_t address;
  int bits;
};

// https://www.iana.org/assignments/iana-ipv4-special-registry. The one that is no special range is
// by its form an address of the internet, but Azure's hosts answer at it: its WireServer, which
// gives a machine's keys to whoever asks from there.
inline constexpr SpecialRange4 kSpecialRanges4[] = {
    {0x00000000, 8},   // this network
    {0x0a000000, 8},   // private
    {0x64400000, 10},  // carriers' shared space
    {0x7f000000, 8},   // loopback
    {0xa83f8110, 32},  // 168.63.129.16, see above
    {0xa9fe0000, 16},  // link-local, metadata services
    {0xac100000, 12},  // private
    {0xc0000000, 24},  // protocol assignments
    {0xc0000200, 24},  // documentation
    {0xc0a80000, 16},  // private
    {0xc6120000, 15},  // benchmarks
    {0xc6336400, 24},  // documentation
    {0xcb007100, 24},  // documentation
    {0xe0000000, 4},   // multicast
    {0xf0000000, 4},   // reserved, broadcast
};

struct SpecialRange6 {
  std::array<uint8_t, 16> address;
  int bits;
};

// https://www.iana.org/assignments/iana-ipv6-special-registry. The internet is within 2000::/3; so
// loopback, mapped and translated IPv4 addresses, private (fc00::/7), link-local, metadata
// (fd00:ec2::254) and multicast ones are all in what lies around it.
inline constexpr SpecialRange6 kSpecialRanges6[] = {
    {{0x00}, 3},
    {{0x20, 0x01}, 23},              // protocol assignments, Teredo
    {{0x20, 0x01, 0x0d, 0xb8}, 32},  // documentation
    {{0x20, 0x02}, 16},              // 6to4: any IPv4 address, private ones too
    {{0x3f, 0xff}, 20},              // documentation
    {{0x40}, 2},
    {{0x80}, 1},
};

}  // namespace wrenn::net
