// NetNamespace: a network namespace, held by a descriptor and, beyond this process's life, by a
// mount (network_namespaces(7)).
#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace wrenn::os {

// It lives while a descriptor, a mount, a socket of its own or a process in it does.
class NetNamespace {
 public:
  // A new one, with nothing but a loopback device that is down. Needs CAP_SYS_ADMIN.
  static Result<NetNamespace> Create();
  // The one that is mounted at a path. kFailedPrecondition when it is a file like any other.
  static Result<NetNamespace> Open(const std::string& path);
  // The one that this thread is in.
  static Result<NetNamespace> Current();

  // Runs `work` in it, on a thread of its own that ends before this returns: no other thread is
  // ever in a namespace that it does not expect. Sockets, TUN descriptors and /proc/sys/net that
  // `work` opens are the namespace's, also afterwards.
  Status Run(const std::function<Status()>& work) const;

  // Mounts it at a path, a file that is made for it. On failure nothing is left.
  Status Keep(const std::string& path) const;
  // Undoes that: unmounts, removes the file. Harmless when one or both are not there.
  static Status Drop(const std::string& path);

  int fd() const { return fd_.get(); }

 private:
  explicit NetNamespace(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

// Sets a variable of the network namespace that this thread is in, e.g. "ipv4/ip_forward" (a path
// below /proc/sys/net); one that has the value already is left alone.
Status SetNetworkVariable(const std::string& name, const std::string& value);

}  // namespace wrenn::os
