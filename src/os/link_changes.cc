#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sys/socket.h>

#include <algorithm>

#include "os/links.h"

namespace wrenn::os {
namespace {

constexpr uint16_t kMake = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;

ifinfomsg LinkHeader(int link, unsigned flags = 0) {
  ifinfomsg head{};
  head.ifi_index = link;
  head.ifi_flags = flags;
  head.ifi_change = flags;
  return head;
}

std::string_view Bytes(const MacAddress& mac) { return BytesOf(mac); }

}  // namespace

void LinkChanges::AddVeth(const VethEnd& here, const VethEnd& there, int there_namespace) {
  request_.Begin("make the network device '" + here.name + "'", RTM_NEWLINK, kMake,
                 BytesOf(LinkHeader(0)));
  request_.PutString(IFLA_IFNAME, here.name);
  request_.Put(IFLA_ADDRESS, Bytes(here.mac));
  request_.Nest(IFLA_LINKINFO, [&] {
    request_.PutString(IFLA_INFO_KIND, "veth");
    request_.Nest(IFLA_INFO_DATA, [&] {
      NetlinkAttributes peer;
      peer.PutString(IFLA_IFNAME, there.name);
      peer.Put(IFLA_ADDRESS, Bytes(there.mac));
      peer.PutNumber(IFLA_NET_NS_FD, static_cast<uint32_t>(there_namespace));
      std::string value(BytesOf(LinkHeader(0)));
      request_.Put(VETH_INFO_PEER, value + peer.bytes());
    });
  });
}

void LinkChanges::SetMac(int link, const MacAddress& mac) {
  request_.Begin("set the address of a network device", RTM_NEWLINK, NLM_F_ACK,
                 BytesOf(LinkHeader(link)));
  request_.Put(IFLA_ADDRESS, Bytes(mac));
}

void LinkChanges::SetUp(int link, bool ipv6) {
  if (ipv6) {
    // Before it is up: it would have an address by then.
    request_.Begin("keep a network device from addressing itself", RTM_NEWLINK, NLM_F_ACK,
                   BytesOf(LinkHeader(link)));
    request_.Nest(IFLA_AF_SPEC, [&] {
      request_.Nest(AF_INET6, [&] {
        request_.PutNumber<uint8_t>(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
      });
    });
  }
  request_.Begin("bring a network device up", RTM_NEWLINK, NLM_F_ACK,
                 BytesOf(LinkHeader(link, IFF_UP)));
}

void LinkChanges::ForwardIpv4(int link) {
  request_.Begin("have a network device forward", RTM_NEWLINK, NLM_F_ACK,
                 BytesOf(LinkHeader(link)));
  request_.Nest(IFLA_AF_SPEC, [&] {
    request_.Nest(AF_INET, [&] {
      request_.Nest(IFLA_INET_CONF, [&] {
        request_.PutNumber<uint32_t>(IPV4_DEVCONF_FORWARDING, 1);
        request_.PutNumber<uint32_t>(IPV4_DEVCONF_RP_FILTER, 1);
      });
    });
  });
}

void LinkChanges::AddAddress(int link, const IpAddress& address, int prefix) {
  ifaddrmsg head{};
  head.ifa_family = static_cast<uint8_t>(address.family());
  head.ifa_prefixlen = static_cast<uint8_t>(prefix);
  head.ifa_flags = address.is_v6() ? IFA_F_NODAD : 0;
  head.ifa_index = static_cast<uint32_t>(link);
  request_.Begin("add the address " + address.ToString(), RTM_NEWADDR, kMake, BytesOf(head));
  request_.Put(IFA_LOCAL, address.bytes());
  request_.Put(IFA_ADDRESS, address.bytes());
}

void LinkChanges::AddNeighbour(int link, const IpAddress& address, const MacAddress& mac) {
  ndmsg head{};
  head.ndm_family = static_cast<uint8_t>(address.family());
  head.ndm_ifindex = link;
  head.ndm_state = NUD_PERMANENT;
  request_.Begin("add the neighbour " + address.ToString(), RTM_NEWNEIGH, kMake, BytesOf(head));
  request_.Put(NDA_DST, address.bytes());
  request_.Put(NDA_LLADDR, Bytes(mac));
}

void LinkChanges::AddDefaultRoute(const IpAddress& gateway, int link) {
  rtmsg head{};
  head.rtm_family = static_cast<uint8_t>(gateway.family());
  head.rtm_table = RT_TABLE_MAIN;
  head.rtm_protocol = RTPROT_STATIC;
  head.rtm_scope = RT_SCOPE_UNIVERSE;
  head.rtm_type = RTN_UNICAST;
  request_.Begin("add a route by " + gateway.ToString(), RTM_NEWROUTE, kMake, BytesOf(head));
  request_.Put(RTA_GATEWAY, gateway.bytes());
  request_.PutNumber(RTA_OIF, static_cast<uint32_t>(link));
}

void LinkChanges::LimitRate(int link, uint64_t bits_per_second) {
  constexpr uint64_t kLatencyParts = 20;    // of a second: 50 ms
  constexpr uint64_t kBurstParts = 100;     // 10 ms
  constexpr uint64_t kMinBurst = 16 << 10;  // a few frames; one of 64 KiB is cut up (TSO)
  const uint64_t bytes = std::max<uint64_t>(1, bits_per_second / 8);
  const auto burst = static_cast<uint32_t>(
      std::min<uint64_t>(std::max(bytes / kBurstParts, kMinBurst), UINT32_MAX / 2));
  tc_tbf_qopt options{};
  options.rate.linklayer = TC_LINKLAYER_ETHERNET;  // else it wants a table that nobody needs
  options.rate.rate = static_cast<uint32_t>(std::min<uint64_t>(bytes, UINT32_MAX));
  options.limit =
      static_cast<uint32_t>(std::min<uint64_t>(bytes / kLatencyParts + burst, UINT32_MAX / 2));

  tcmsg head{};
  head.tcm_family = AF_UNSPEC;
  head.tcm_ifindex = link;
  head.tcm_parent = TC_H_ROOT;
  request_.Begin("limit a network device's rate (the kernel module sch_tbf is needed)",
                 RTM_NEWQDISC, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, BytesOf(head));
  request_.PutString(TCA_KIND, "tbf");
  request_.Nest(TCA_OPTIONS, [&] {
    request_.PutNumber(TCA_TBF_PARMS, options);
    request_.PutNumber(TCA_TBF_BURST, burst);
    if (bytes > UINT32_MAX) request_.PutNumber(TCA_TBF_RATE64, bytes);
  });
}

void LinkChanges::Delete(int link) {
  request_.Begin("delete a network device", RTM_DELLINK, NLM_F_ACK, BytesOf(LinkHeader(link)));
}

void LinkChanges::SetGroup(int link, uint32_t group) {
  request_.Begin("put a network device into a group", RTM_NEWLINK, NLM_F_ACK,
                 BytesOf(LinkHeader(link)));
  request_.PutNumber(IFLA_GROUP, group);
}

void LinkChanges::DeleteGroup(uint32_t group) {
  request_.Begin("delete a group of network devices", RTM_DELLINK, NLM_F_ACK,
                 BytesOf(LinkHeader(0)));
  request_.PutNumber(IFLA_GROUP, group);
}

}  // namespace wrenn::os
