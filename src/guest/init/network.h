// The guest's network: the loopback, and what the kernel argument ip= says.
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

}  // namespace wrenn::guest
