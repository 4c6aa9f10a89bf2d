#include "net/user_network.h"

#include <grp.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/io.h"
#include "net/slot_plan.h"
#include "os/files.h"
#include "os/process_info.h"

namespace wrenn::net {
namespace {

constexpr int kFirstFd = 3;

// Beside the running program, where builds and packages put it; $WRENN_EGRESS names another place.
Result<std::string> EgressProgram() {
  if (const char* variable = std::getenv("WRENN_EGRESS"); variable && *variable == '/') {
    return std::string(variable);
  }
  ASSIGN_OR_RETURN(const std::string self, os::ExecutablePath());
  const std::string path = self.substr(0, self.rfind('/')) + "/wrenn-egress";
  if (os::Exists(path)) return path;
  return os::FindProgram("wrenn-egress");
}

Result<os::Process> Start(std::vector<std::string> argv, std::vector<int> fds, int stderr_fd) {
  os::SpawnOptions options;
  options.argv = std::move(argv);
  options.stderr_fd = stderr_fd;
  options.pass_fds = std::move(fds);
  options.directory.assign(1, '/');
  options.umask = 077;
  options.limits = {{RLIMIT_CORE, 0}};
  return os::Process::Spawn(options);
}

// passt leaves root for the user "nobody" and makes itself namespaces; it ends where it may not. As
// it does, in a process of its own.
Status TryUserNamespace() {
  constexpr uid_t kNobody = 65534;
  const pid_t child = ::fork();
  if (child == 0) {
    if (::geteuid() == 0 &&
        (::setgroups(0, nullptr) != 0 || ::setgid(kNobody) != 0 || ::setuid(kNobody) != 0)) {
      ::_exit(errno);
    }
    ::_exit(::unshare(CLONE_NEWUSER) == 0 ? 0 : errno);
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child) return Fail(ErrnoError("fork"));
  if (status == 0) return {};
  return Fail(Error{
      Code::kFailedPrecondition,
      "network egress needs user namespaces, which the kernel refuses here: in a chroot none can "
      "be made; in a container allow them; on a host see the settings user.max_user_namespaces and "
      "kernel.unprivileged_userns_clone",
      WIFEXITED(status) ? std::generic_category().message(WEXITSTATUS(status)) : ""});
}

}  // namespace

Status CheckUserNetwork() {
  if (!os::FindProgram("passt")) {
    return Fail(Code::kFailedPrecondition,
                "network egress needs the program 'passt': install the Debian package 'passt'");
  }
  if (!EgressProgram()) {
    return Fail(
        Code::kFailedPrecondition,
        "network egress needs the program 'wrenn-egress', which is part of wrenn: put it beside "
        "'wrenn' or name it in $WRENN_EGRESS");
  }
  static const Status namespaces = TryUserNamespace();
  return namespaces;
}

std::vector<std::string> PasstCommandLine(int fd) {
  return {
      "passt", "--foreground", "--quiet", "--fd", fmt::format("{}", fd),
      // Without it the gateway's address would stand for the host, its loopback included.
      "--no-map-gw", "--ipv4-only", "--address", kSlotGuestAddress, "--netmask", kSlotNetmask,
      "--gateway", kSlotGateway,
      // The gateway's own address: answers of a resolver on the host's loopback come from there.
      "--dns-forward", kSlotGateway,
      // The guest is configured by its kernel's command line.
      "--no-dhcp",
      // Nothing is forwarded into the guest.
      "--tcp-ports", "none", "--udp-ports", "none"};
}

Result<UserNetwork> StartUserNetwork(int stderr_fd) {
  RETURN_IF_ERROR(CheckUserNetwork());
  ASSIGN_OR_RETURN(const std::string egress, EgressProgram());
  ASSIGN_OR_RETURN(auto outer, SocketPair());  // relay and passt
  ASSIGN_OR_RETURN(auto inner, SocketPair());  // machine and relay
  ASSIGN_OR_RETURN(os::Process passt,
                   Start(PasstCommandLine(kFirstFd), {outer.second.get()}, stderr_fd));
  auto relay = Start({egress, kSlotGuestAddress, kSlotGateway},
                     {inner.second.get(), outer.first.get()}, stderr_fd);
  if (!relay) {
    (void)passt.Kill(Deadline::After(std::chrono::seconds(5)));
    return Fail(std::move(relay.error()));
  }
  UserNetwork network;
  network.processes.push_back(std::move(*relay));
  network.processes.push_back(std::move(passt));
  network.socket = std::move(inner.first);
  return network;
}

}  // namespace wrenn::net
