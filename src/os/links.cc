#include "os/links.h"

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace wrenn::os {
namespace {

Result<IpAddress> AddressFrom(int family, std::string_view bytes) {
  if (family == AF_INET && bytes.size() == 4) {
    return IpAddress::V4(ntohl(NumberFrom<uint32_t>(bytes)));
  }
  if (family == AF_INET6 && bytes.size() == 16) {
    return IpAddress::V6(NumberFrom<std::array<uint8_t, 16>>(bytes));
  }
  return Fail(Code::kInvalidArgument, "no address");
}

struct LinkEntry {
  std::string name;
  LinkCounters counters;
};

LinkEntry ReadLink(std::string_view message) {
  LinkEntry entry;
  message.remove_prefix(std::min(NLMSG_ALIGN(sizeof(ifinfomsg)), message.size()));
  for (const NetlinkAttribute& attribute : ReadAttributes(message)) {
    if (attribute.type == IFLA_IFNAME) {
      entry.name = attribute.value.substr(0, attribute.value.find('\0'));
    } else if (attribute.type == IFLA_STATS64) {
      // Newer kernels have a longer one.
      const std::string_view stats = attribute.value;
      const auto number = [stats](size_t index) {
        constexpr size_t kWord = sizeof(uint64_t);
        return NumberFrom<uint64_t>(stats.substr(std::min(index * kWord, stats.size())));
      };
      entry.counters = {number(2), number(0), number(3), number(1)};
    }
  }
  return entry;
}

}  // namespace

std::string ToString(const MacAddress& mac) {
  return fmt::format("{:02X}:{:02X}:{:02X}:{:02X}:{:02X}:{:02X}", mac[0], mac[1], mac[2], mac[3],
                     mac[4], mac[5]);
}

Result<Links> Links::Open() {
  ASSIGN_OR_RETURN(NetlinkSocket socket, NetlinkSocket::Open(NETLINK_ROUTE));
  return Links(std::move(socket));
}

Result<int> Links::Find(const std::string& name) {
  ifreq request{};
  if (name.empty() || name.size() >= sizeof request.ifr_name) {
    return Fail(Code::kInvalidArgument, "'{}' is no name of a network device", name);
  }
  name.copy(request.ifr_name, name.size());
  // The socket's own namespace counts, not the thread's.
  if (::ioctl(socket_.fd(), SIOCGIFINDEX, &request) == 0) return request.ifr_ifindex;
  if (errno == ENODEV) return Fail(Code::kNotFound, "there is no network device '{}'", name);
  return Fail(ErrnoError("cannot look for the network device '" + name + "'"));
}

Result<std::vector<std::string>> Links::List() {
  NetlinkRequest request;
  request.Begin("list network devices", RTM_GETLINK, NLM_F_DUMP, BytesOf(ifinfomsg{}));
  std::vector<std::string> names;
  RETURN_IF_ERROR(socket_.Dump(
      request, [&] { names.clear(); },
      [&](std::string_view message) { names.push_back(ReadLink(message).name); }));
  return names;
}

Result<LinkCounters> Links::Counters(const std::string& name) {
  ASSIGN_OR_RETURN(const int link, Find(name));
  ifinfomsg head{};
  head.ifi_index = link;
  NetlinkRequest request;
  request.Begin("read the counters of '" + name + "'", RTM_GETLINK, NLM_F_ACK, BytesOf(head));
  LinkCounters counters;
  RETURN_IF_ERROR(socket_.Send(
      request, [&](std::string_view message) { counters = ReadLink(message).counters; }));
  return counters;
}

Result<std::vector<Links::Route>> Links::ListRoutes() {
  NetlinkRequest request;
  request.Begin("list routes", RTM_GETROUTE, NLM_F_DUMP, BytesOf(rtmsg{}));
  std::vector<Route> routes;
  const auto part = [&](std::string_view message) {
    const auto head = NumberFrom<rtmsg>(message);
    Route route;
    route.prefix = head.rtm_dst_len;
    message.remove_prefix(std::min(NLMSG_ALIGN(sizeof head), message.size()));
    for (const NetlinkAttribute& attribute : ReadAttributes(message)) {
      if (attribute.type == RTA_OIF) route.link = NumberFrom<int>(attribute.value);
      if (attribute.type == RTA_DST) {
        const auto address = AddressFrom(head.rtm_family, attribute.value);
        if (address) route.address = *address;
      }
    }
    if (head.rtm_type == RTN_UNICAST && route.prefix > 0) routes.push_back(route);
  };
  RETURN_IF_ERROR(socket_.Dump(request, [&] { routes.clear(); }, part));
  return routes;
}

Status Links::RemoveRateLimit(int link) {
  tcmsg head{};
  head.tcm_ifindex = link;
  head.tcm_parent = TC_H_ROOT;
  NetlinkRequest request;
  request.Begin("lift a network device's limit", RTM_DELQDISC, NLM_F_ACK, BytesOf(head));
  Status removed = socket_.Send(request);
  // What has only its default queue has none to remove: ENOENT, or EINVAL on older kernels.
  if (!removed &&
      (removed.error().code == Code::kNotFound || removed.error().code == Code::kInvalidArgument)) {
    return {};
  }
  return removed;
}

}  // namespace wrenn::os
