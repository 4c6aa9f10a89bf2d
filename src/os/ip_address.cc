#include "os/ip_address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

namespace wrenn::os {

IpAddress IpAddress::V4(uint32_t number) {
  IpAddress address;
  const uint32_t big = htonl(number);
  std::memcpy(address.bytes_.data(), &big, sizeof big);
  return address;
}

IpAddress IpAddress::V6(const std::array<uint8_t, 16>& bytes) {
  IpAddress address;
  address.v6_ = true;
  address.bytes_ = bytes;
  return address;
}

Result<IpAddress> IpAddress::Parse(const std::string& text) {
  IpAddress address;
  address.v6_ = text.find(':') != std::string::npos;
  // What lies behind a zero byte inet_pton() does not see.
  if (text.find('\0') != std::string::npos ||
      ::inet_pton(address.family(), text.c_str(), address.bytes_.data()) != 1) {
    return Fail(Code::kInvalidArgument, "'{}' is not an IP address", text);
  }
  return address;
}

int IpAddress::family() const { return v6_ ? AF_INET6 : AF_INET; }

std::string_view IpAddress::bytes() const {
  return {reinterpret_cast<const char*>(bytes_.data()), static_cast<size_t>(bits() / 8)};
}

std::string IpAddress::ToString() const {
  char text[INET6_ADDRSTRLEN] = {};
  ::inet_ntop(family(), bytes_.data(), text, sizeof text);
  return text;
}

IpAddress IpAddress::First(int prefix) const {
  IpAddress address = *this;
  for (int bit = prefix; bit < bits(); ++bit) {
    address.bytes_[bit / 8] = static_cast<uint8_t>(address.bytes_[bit / 8] & ~(0x80 >> bit % 8));
  }
  return address;
}

IpAddress IpAddress::Last(int prefix) const {
  IpAddress address = *this;
  for (int bit = prefix; bit < bits(); ++bit) {
    address.bytes_[bit / 8] = static_cast<uint8_t>(address.bytes_[bit / 8] | 0x80 >> bit % 8);
  }
  return address;
}

IpAddress IpAddress::Next() const {
  IpAddress address = *this;
  for (int i = bits() / 8 - 1; i >= 0 && ++address.bytes_[i] == 0; --i) {
  }
  return address;
}

}  // namespace wrenn::os
