// Frames as a hostile guest would make them; for tests.
#pragma once

#include <arpa/inet.h>

#include <cstdint>
#include <string>

namespace wrenn::net {

inline std::string Bytes16(unsigned value) {
  return {static_cast<char>(value >> 8 & 0xff), static_cast<char>(value & 0xff)};
}

inline std::string Bytes4(const std::string& address) {
  in_addr number{};
  ::inet_pton(AF_INET, address.c_str(), &number);
  return {reinterpret_cast<const char*>(&number), sizeof number};
}

// The Internet checksum (RFC 1071).
inline unsigned Checksum(std::string data) {
  if (data.size() % 2 != 0) data.push_back('\0');
  unsigned sum = 0;
  for (size_t i = 0; i < data.size(); i += 2) {
    sum += static_cast<unsigned char>(data[i]) * 256u + static_cast<unsigned char>(data[i + 1]);
  }
  while (sum > 0xffff) sum = (sum >> 16) + (sum & 0xffff);
  return ~sum & 0xffff;
}

inline const std::string kGuestMac("\x52\x54\x00\x57\x52\x01", 6);

inline std::string Ipv4Frame(const std::string& source, const std::string& destination,
                             char protocol, const std::string& payload) {
  std::string header("\x45\x00", 2);
  header += Bytes16(static_cast<unsigned>(20 + payload.size()));
  header += std::string("\x00\x01\x00\x00\x40", 5);
  header += protocol;
  const std::string addresses = Bytes4(source) + Bytes4(destination);
  const unsigned sum = Checksum(header + std::string(2, '\0') + addresses);
  return std::string(6, '\x02') + kGuestMac + std::string("\x08\x00", 2) + header + Bytes16(sum) +
         addresses + payload;
}

inline std::string TcpSyn(const std::string& source, const std::string& destination, uint16_t port,
                          uint16_t source_port = 40000) {
  std::string segment = Bytes16(source_port) + Bytes16(port) +
                        std::string("\0\0\x03\xe8\0\0\0\0", 8) + std::string("\x50\x02\xff\xff", 4);
  const std::string pseudo = Bytes4(source) + Bytes4(destination) + std::string("\0\x06", 2) +
                             Bytes16(static_cast<unsigned>(segment.size() + 4));
  const unsigned sum = Checksum(pseudo + segment + std::string(4, '\0'));
  return Ipv4Frame(source, destination, 6, segment + Bytes16(sum) + Bytes16(0));
}

// A UDP datagram without a checksum.
inline std::string Udp(const std::string& source, const std::string& destination, uint16_t port,
                       const std::string& payload) {
  return Ipv4Frame(source, destination, 17,
                   Bytes16(41000) + Bytes16(port) +
                       Bytes16(static_cast<unsigned>(8 + payload.size())) + Bytes16(0) + payload);
}

inline std::string ArpQuestion(const std::string& source, const std::string& wanted) {
  return std::string(6, '\xff') + kGuestMac +
         std::string("\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01", 10) + kGuestMac + Bytes4(source) +
         std::string(6, '\0') + Bytes4(wanted);
}

inline std::string Address6Bytes(const std::string& address) {
  in6_addr number{};
  ::inet_pton(AF_INET6, address.c_str(), &number);
  return {reinterpret_cast<const char*>(&number), sizeof number};
}

// An IPv6 packet whose payload begins with a header that has its checksum, still zero, at
// `checksum_at`.
inline std::string Ipv6Frame(const std::string& source, const std::string& destination,
                             char protocol, std::string payload, size_t checksum_at) {
  const std::string addresses = Address6Bytes(source) + Address6Bytes(destination);
  const std::string length = Bytes16(static_cast<unsigned>(payload.size()));
  const unsigned sum = Checksum(addresses + std::string(2, '\0') + length + std::string(3, '\0') +
                                protocol + payload);
  payload.replace(checksum_at, 2, Bytes16(sum));
  return std::string(6, '\x02') + kGuestMac + std::string("\x86\xdd\x60\0\0\0", 6) + length +
         protocol + '\xff' + addresses + payload;
}

inline std::string Udp6(const std::string& source, const std::string& destination, uint16_t port,
                        const std::string& payload) {
  return Ipv6Frame(source, destination, 17,
                   Bytes16(41000) + Bytes16(port) +
                       Bytes16(static_cast<unsigned>(8 + payload.size())) + Bytes16(0) + payload,
                   6);
}

// Neighbour solicitation (RFC 4861), with the asker's MAC address.
inline std::string NeighbourQuestion(const std::string& source, const std::string& wanted) {
  return Ipv6Frame(
      source, wanted, 58,
      std::string("\x87\0\0\0\0\0\0\0", 8) + Address6Bytes(wanted) + "\x01\x01" + kGuestMac, 2);
}

// As QEMU's stream network sends it.
inline std::string WithLength(const std::string& frame) {
  return Bytes16(static_cast<unsigned>(frame.size() >> 16)) +
         Bytes16(static_cast<unsigned>(frame.size() & 0xffff)) + frame;
}

}  // namespace wrenn::net
