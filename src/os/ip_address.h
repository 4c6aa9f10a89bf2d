// IpAddress: an IPv4 or IPv6 address as a value.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace wrenn::os {

class IpAddress {
 public:
  // 0.0.0.0
  IpAddress() = default;
  // From a number in host order, 127.0.0.1 being 0x7f000001.
  static IpAddress V4(uint32_t number);
  static IpAddress V6(const std::array<uint8_t, 16>& bytes);
  // Dotted decimal or RFC 4291 text, without zone. kInvalidArgument for anything else.
  static Result<IpAddress> Parse(const std::string& text);

  bool is_v6() const { return v6_; }
  // AF_INET or AF_INET6.
  int family() const;
  // 32 or 128.
  int bits() const { return v6_ ? 128 : 32; }
  // In network order, 4 or 16 of them.
  std::string_view bytes() const;
  std::string ToString() const;

  // The address with all bits behind the first `prefix` ones cleared, or set.
  IpAddress First(int prefix) const;
  IpAddress Last(int prefix) const;
  // The next address, within the family; the last one's next is the first.
  IpAddress Next() const;

  // IPv4 before IPv6, then by number.
  auto operator<=>(const IpAddress&) const = default;

 private:
  bool v6_ = false;
  std::array<uint8_t, 16> bytes_{};  // IPv4: the first four
};

}  // namespace wrenn::os
