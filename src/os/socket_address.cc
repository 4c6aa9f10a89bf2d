#include "os/socket_address.h"

#include <netinet/in.h>

#include <cstring>

namespace wrenn::os {

SocketAddress::SocketAddress(const IpAddress& address, uint16_t port) {
  const auto take = [this](const auto& name) {
    std::memcpy(&storage_, &name, sizeof name);
    size_ = sizeof name;
  };
  const std::string_view bytes = address.bytes();
  if (address.is_v6()) {
    sockaddr_in6 name{};
    name.sin6_family = AF_INET6;
    name.sin6_port = htons(port);
    std::memcpy(&name.sin6_addr, bytes.data(), bytes.size());
    take(name);
  } else {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_port = htons(port);
    std::memcpy(&name.sin_addr, bytes.data(), bytes.size());
    take(name);
  }
}

}  // namespace wrenn::os
