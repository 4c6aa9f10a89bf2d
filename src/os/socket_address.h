// SocketAddress: an IP address and a port, as the socket calls take them.
#pragma once

#include <sys/socket.h>

#include <cstdint>

#include "os/ip_address.h"

namespace wrenn::os {

class SocketAddress {
 public:
  SocketAddress(const IpAddress& address, uint16_t port);

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t size() const { return size_; }

 private:
  sockaddr_storage storage_{};
  socklen_t size_ = 0;
};

}  // namespace wrenn::os
