#include "guest/init/network.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>

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

Result<UniqueFd> ControlSocket() {
  UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
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

}  // namespace wrenn::guest
