#include "os/tap.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace wrenn::os {
namespace {

Result<ifreq> RequestFor(const std::string& name) {
  ifreq request{};
  if (name.empty() || name.size() >= sizeof request.ifr_name) {
    return Fail(Code::kInvalidArgument, "'{}' is no name of a network device", name);
  }
  std::memcpy(request.ifr_name, name.c_str(), name.size());
  return request;
}

Result<UniqueFd> Attach(const std::string& name) {
  ASSIGN_OR_RETURN(ifreq request, RequestFor(name));
  UniqueFd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd) {
    Error error = ErrnoError("cannot open /dev/net/tun");
    error.message += ": modprobe tun; in a container give it /dev/net/tun";
    return Fail(std::move(error));
  }
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  if (::ioctl(fd.get(), TUNSETIFF, &request) < 0) {
    return Fail(ErrnoError("cannot attach to the TAP device '" + name + "'"));
  }
  return fd;
}

// TUNSETIFF makes a device that is not there.
Status Exists(const std::string& name) {
  ASSIGN_OR_RETURN(ifreq request, RequestFor(name));
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return Fail(ErrnoError("socket"));
  if (::ioctl(socket.get(), SIOCGIFFLAGS, &request) == 0) return {};
  if (errno == ENODEV) return Fail(Code::kNotFound, "there is no TAP device '{}'", name);
  return Fail(ErrnoError("cannot look at the device '" + name + "'"));
}

}  // namespace

Status CreateTap(const std::string& name) {
  ASSIGN_OR_RETURN(const UniqueFd fd, Attach(name));
  if (::ioctl(fd.get(), TUNSETPERSIST, 1) < 0) {
    return Fail(ErrnoError("cannot keep the TAP device '" + name + "'"));
  }
  return {};
}

Result<UniqueFd> OpenTap(const std::string& name) {
  RETURN_IF_ERROR(Exists(name));
  return Attach(name);
}

Status SetTapOwner(const std::string& name, uid_t user) {
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenTap(name));
  if (::ioctl(fd.get(), TUNSETOWNER, static_cast<unsigned long>(user)) < 0) {
    return Fail(ErrnoError("cannot give the TAP device '" + name + "' to another user"));
  }
  return {};
}

}  // namespace wrenn::os
