// Network devices, their addresses, routes, neighbours and rates, over rtnetlink(7).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "os/ip_address.h"
#include "os/netlink.h"

namespace wrenn::os {

using MacAddress = std::array<uint8_t, 6>;
// "02:FC:00:00:00:05"
std::string ToString(const MacAddress& mac);

// One end of a pair of virtual Ethernet devices (veth(4)).
struct VethEnd {
  std::string name;
  MacAddress mac{};
};

// What a device has carried since it was made.
struct LinkCounters {
  uint64_t received_bytes = 0;
  uint64_t received_packets = 0;
  uint64_t sent_bytes = 0;
  uint64_t sent_packets = 0;
};

// Changes that are sent together. Each takes effect by itself: when one is refused, the others may
// have been made.
class LinkChanges {
 public:
  // Makes a pair, `there` in another network namespace.
  void AddVeth(const VethEnd& here, const VethEnd& there, int there_namespace);
  void SetMac(int link, const MacAddress& mac);
  // With IPv6 (where the kernel has it), it gets no link-local address by itself.
  void SetUp(int link, bool ipv6);
  // Passes on what comes in by the device over IPv4, from sources that it is the way to only: from
  // others it does not answer ARP either (rp_filter, RFC 3704). As net.ipv4.conf.<device> would,
  // whose files take the longer to find the more network namespaces there are.
  void ForwardIpv4(int link);
  // Taken into use at once, without asking who else has it.
  void AddAddress(int link, const IpAddress& address, int prefix);
  // So that nobody has to be asked for the MAC address, nor is believed.
  void AddNeighbour(int link, const IpAddress& address, const MacAddress& mac);
  void AddDefaultRoute(const IpAddress& gateway, int link);
  // The most that the device sends, in bits a second, by a token bucket (tc-tbf(8)) that holds
  // packets back for up to 50 ms and then drops.
  void LimitRate(int link, uint64_t bits_per_second);
  void Delete(int link);
  // Puts a device into a group, and deletes all devices of a group. To delete many at once takes
  // the kernel about as long as to delete one.
  void SetGroup(int link, uint32_t group);
  void DeleteGroup(uint32_t group);

  NetlinkRequest& request() { return request_; }

 private:
  NetlinkRequest request_;
};

// Asks in the network namespace that its thread was in when it was opened.
class Links {
 public:
  static Result<Links> Open();

  Status Apply(LinkChanges& changes) { return socket_.Send(changes.request()); }
  // The index of a device; kNotFound when there is none of that name.
  Result<int> Find(const std::string& name);
  Result<LinkCounters> Counters(const std::string& name);
  // The names of all devices, in the order of their making.
  Result<std::vector<std::string>> List();
  // What the routing tables say of networks, the default routes left out.
  struct Route {
    IpAddress address;
    int prefix = 0;
    int link = 0;
  };
  Result<std::vector<Route>> ListRoutes();
  // Lifts LimitRate(). Harmless where there is no limit.
  Status RemoveRateLimit(int link);

 private:
  explicit Links(NetlinkSocket socket) : socket_(std::move(socket)) {}
  NetlinkSocket socket_;
};

}  // namespace wrenn::os
