#include "guest/init/network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <charconv>
#include <cstring>

#include "base/io.h"
#include "base/unique_fd.h"
#include "guest/split.h"

namespace wrenn::guest {
namespace {

Result<sockaddr> Address(const std::string& text) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  if (::inet_pton(AF_INET, text.c_str(), &address.sin_addr) != 1) {
    return Fail(Code::kInvalidArgument, "'{}' in ip= is not an IPv4 address", text);
  }
  sockaddr general;
  std::memcpy(&general, &address, sizeof general);
  return general;
}

Result<ifreq> Request(const std::string& device) {
  ifreq request{};
  if (device.empty() || device.size() >= sizeof request.ifr_name) {
    return Fail(Code::kInvalidArgument, "'{}' is not a network device", device);
  }
  std::memcpy(request.ifr_name, device.c_str(), device.size());
  return request;
}

Result<in6_addr> Address6(const std::string& text) {
  in6_addr address{};
  if (::inet_pton(AF_INET6, text.c_str(), &address) != 1) {
    return Fail(Code::kInvalidArgument, "'{}' in wrenn.ip6= is not an IPv6 address", text);
  }
  return address;
}

// <linux/ipv6.h> has it, and other things that <netinet/in.h> has, too.
struct Ip6Request {
  in6_addr address;
  uint32_t prefix;
  int device;
};

Result<UniqueFd> ControlSocket(int family = AF_INET) {
  UniqueFd socket(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return Fail(ErrnoError("there is no network in this kernel"));
  return socket;
}

Status BringUp(int socket, const std::string& device) {
  ASSIGN_OR_RETURN(ifreq request, Request(device));
  if (::ioctl(socket, SIOCGIFFLAGS, &request) < 0) {
    return Fail(ErrnoError("there is no network device '" + device + "'"));
  }
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP | IFF_RUNNING);
  if (::ioctl(socket, SIOCSIFFLAGS, &request) < 0) {
    return Fail(ErrnoError("cannot start the network device '" + device + "'"));
  }
  return {};
}

Status AddDefaultRoute(int socket, const std::string& gateway) {
  rtentry route{};
  ASSIGN_OR_RETURN(route.rt_gateway, Address(gateway));
  route.rt_dst.sa_family = AF_INET;
  route.rt_genmask.sa_family = AF_INET;
  route.rt_flags = RTF_UP | RTF_GATEWAY;
  if (::ioctl(socket, SIOCADDRT, &route) < 0) {
    return Fail(ErrnoError("cannot route over '" + gateway + "'"));
  }
  return {};
}

}  // namespace

Result<IpArgument> ParseIpArgument(std::string_view text) {
  const auto fields = Split(text, ':');
  const auto field = [&](size_t i) { return i < fields.size() ? std::string(fields[i]) : ""; };
  IpArgument ip{field(0), field(2), field(3), field(4), field(5)};
  const std::string method = field(6);
  if (!method.empty() && method != "off" && method != "none" && method != "static") {
    return Fail(Code::kInvalidArgument, "ip= knows fixed addresses only, not '{}'", method);
  }
  if (ip.device.empty()) ip.device = "eth0";
  RETURN_IF_ERROR(Address(ip.client));
  RETURN_IF_ERROR(Address(ip.netmask));
  if (!ip.gateway.empty()) RETURN_IF_ERROR(Address(ip.gateway));
  return ip;
}

Status BringLoopbackUp() {
  ASSIGN_OR_RETURN(const UniqueFd socket, ControlSocket());
  return BringUp(socket.get(), "lo");
}

Status Configure(const IpArgument& ip) {
  ASSIGN_OR_RETURN(const UniqueFd socket, ControlSocket());
  ASSIGN_OR_RETURN(ifreq request, Request(ip.device));
  ASSIGN_OR_RETURN(request.ifr_addr, Address(ip.client));
  if (::ioctl(socket.get(), SIOCSIFADDR, &request) < 0) {
    return Fail(ErrnoError("cannot give '" + ip.device + "' the address " + ip.client));
  }
  ASSIGN_OR_RETURN(request.ifr_netmask, Address(ip.netmask));
  if (::ioctl(socket.get(), SIOCSIFNETMASK, &request) < 0) {
    return Fail(ErrnoError("cannot give '" + ip.device + "' the netmask " + ip.netmask));
  }
  RETURN_IF_ERROR(BringUp(socket.get(), ip.device));
  return ip.gateway.empty() ? Status() : AddDefaultRoute(socket.get(), ip.gateway);
}

Result<Ip6Argument> ParseIp6Argument(std::string_view text) {
  constexpr unsigned kBits = 128;
  Ip6Argument ip;
  const size_t comma = text.find(',');
  const size_t slash = text.substr(0, comma).find('/');
  if (comma == std::string_view::npos || slash == std::string_view::npos) {
    return Fail(Code::kInvalidArgument, "wrenn.ip6= is CLIENT/PREFIX,GATEWAY, not '{}'", text);
  }
  ip.client = text.substr(0, slash);
  ip.gateway = text.substr(comma + 1);
  const std::string_view prefix = text.substr(slash + 1, comma - slash - 1);
  const auto [end, error] =
      std::from_chars(prefix.data(), prefix.data() + prefix.size(), ip.prefix);
  if (error != std::errc() || end != prefix.data() + prefix.size() || ip.prefix > kBits) {
    return Fail(Code::kInvalidArgument, "'{}' in wrenn.ip6= is not a prefix's length", prefix);
  }
  RETURN_IF_ERROR(Address6(ip.client));
  RETURN_IF_ERROR(Address6(ip.gateway));
  return ip;
}

Status PrepareIp6(const std::string& device) {
  for (const char* name : {"accept_dad", "accept_ra"}) {
    const std::string path = fmt::format("/proc/sys/net/ipv6/conf/{}/{}", device, name);
    UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file && errno == ENOENT) return {};
    if (!file) return Fail(ErrnoError("cannot open '" + path + "'"));
    RETURN_IF_ERROR(WriteAll(file.get(), "0", Deadline::Never()));
  }
  return {};
}

Status ConfigureIp6(const std::string& device, const Ip6Argument& ip) {
  ASSIGN_OR_RETURN(const UniqueFd socket, ControlSocket(AF_INET6));
  Ip6Request request{};
  ASSIGN_OR_RETURN(request.address, Address6(ip.client));
  request.prefix = ip.prefix;
  request.device = static_cast<int>(::if_nametoindex(device.c_str()));
  if (::ioctl(socket.get(), SIOCSIFADDR, &request) < 0) {
    return Fail(ErrnoError("cannot give '" + device + "' the address " + ip.client));
  }
  constexpr uint32_t kMetric = 1024;  // the kernel's own, IP6_RT_PRIO_USER
  in6_rtmsg route{};
  ASSIGN_OR_RETURN(route.rtmsg_gateway, Address6(ip.gateway));
  route.rtmsg_metric = kMetric;
  route.rtmsg_flags = RTF_UP | RTF_GATEWAY;
  route.rtmsg_ifindex = request.device;
  if (::ioctl(socket.get(), SIOCADDRT, &route) < 0) {
    return Fail(ErrnoError("cannot route over '" + ip.gateway + "'"));
  }
  return {};
}

}  // namespace wrenn::guest
