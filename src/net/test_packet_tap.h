// What comes out of a link, as a packet socket sees it; for tests.
#pragma once

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <string>

#include "base/unique_fd.h"
#include "os/net_namespace.h"

namespace wrenn::net {

class PacketTap {
 public:
  PacketTap(const os::NetNamespace& where, const std::string& link) {
    (void)where.Run([&]() -> Status {
      socket_.Reset(
          ::socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_ALL)));
      sockaddr_ll address{};
      address.sll_family = AF_PACKET;
      address.sll_protocol = htons(ETH_P_ALL);
      address.sll_ifindex = static_cast<int>(::if_nametoindex(link.c_str()));
      good_ = ::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
      return {};
    });
  }

  bool good() const { return good_; }

  // How many UDP datagrams, of either family, have come in since the last call.
  uint64_t TakeDatagrams() const {
    uint64_t found = 0;
    std::array<unsigned char, 2048> packet{};
    sockaddr_ll from{};
    while (true) {
      socklen_t length = sizeof from;
      const ssize_t got = ::recvfrom(socket_.get(), packet.data(), packet.size(), 0,
                                     reinterpret_cast<sockaddr*>(&from), &length);
      if (got < 0) return found;
      if (from.sll_pkttype == PACKET_OUTGOING || got < 20) continue;
      const bool ipv6 = ntohs(from.sll_protocol) == ETH_P_IPV6;
      if (packet[ipv6 ? 6 : 9] == IPPROTO_UDP) ++found;
    }
  }

 private:
  UniqueFd socket_;
  bool good_ = false;
};

}  // namespace wrenn::net
