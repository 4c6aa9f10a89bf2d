// The guest's network: the loopback, and what the kernel arguments ip= and wrenn.ip6= say.
//
// Debian's kernels are built without IP_PNP and leave ip= to user space. The format is that of the
// kernel's Documentation/admin-guide/nfs/nfsroot.rst.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace wrenn::guest {

// ip=CLIENT:[SERVER]:GATEWAY:NETMASK:HOSTNAME:DEVICE:off
struct IpArgument {
  std::string client;
  std::string gateway;  // may be empty
  std::string netmask;
  std::string hostname;  // may be empty
  std::string device;
};
Result<IpArgument> ParseIpArgument(std::string_view text);

Status BringLoopbackUp();

// Gives the device its address and the default route.
Status Configure(const IpArgument& ip);

// wrenn.ip6=CLIENT/PREFIX,GATEWAY
struct Ip6Argument {
  std::string client;
  unsigned prefix = 0;
  std::string gateway;
};
Result<Ip6Argument> ParseIp6Argument(std::string_view text);

// Has the device's addresses be its own at once, since there is nobody on its link who could have
// one of them, and lets nobody there tell it others. Before it is up. Nothing in a kernel without
// IPv6.
Status PrepareIp6(const std::string& device);

// The same as Configure() for IPv6, for a device that is up.
Status ConfigureIp6(const std::string& device, const Ip6Argument& ip);

}  // namespace wrenn::guest
