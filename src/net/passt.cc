#include "net/passt.h"

#include <sys/resource.h>
#include <sys/socket.h>

#include "base/io.h"

namespace wrenn::net {
namespace {

constexpr int kSocketFd = 3;

}  // namespace

Status CheckPasst() {
  if (os::FindProgram("passt")) return {};
  return Fail(Code::kFailedPrecondition,
              "network egress needs the program 'passt': install the Debian package 'passt'");
}

std::vector<std::string> PasstCommandLine(const UserNetwork& network, int fd) {
  return {
      "passt",
      "--foreground",
      "--quiet",
      "--fd",
      fmt::format("{}", fd),
      // Without it the gateway's address would stand for the host, its loopback included.
      "--no-map-gw",
      "--ipv4-only",
      "--address",
      network.address,
      "--netmask",
      network.netmask,
      "--gateway",
      network.gateway,
      "--dns-forward",
      network.dns,
      // The guest is configured by its kernel's command line.
      "--no-dhcp",
      // Nothing of the host's is forwarded into the guest.
      "--tcp-ports",
      "none",
      "--udp-ports",
      "none",
  };
}

Result<Passt> StartPasst(const UserNetwork& network, int stderr_fd) {
  RETURN_IF_ERROR(CheckPasst());
  ASSIGN_OR_RETURN(auto pair, SocketPair());
  os::SpawnOptions options;
  options.argv = PasstCommandLine(network, kSocketFd);
  options.stderr_fd = stderr_fd;
  options.pass_fds = {pair.second.get()};
  options.directory.assign(1, '/');  // not "/": g++ 12 warns of it falsely
  options.umask = 077;
  options.limits = {{RLIMIT_CORE, 0}};
  ASSIGN_OR_RETURN(os::Process process, os::Process::Spawn(options));
  return Passt{std::move(process), std::move(pair.first)};
}

}  // namespace wrenn::net
