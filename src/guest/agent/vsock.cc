#include "guest/agent/vsock.h"

#include <poll.h>
#include <sys/socket.h>

#include <linux/vm_sockets.h>

#include <system_error>
#include <thread>

#include "guest/init/console.h"
#include "wire/agent_api.h"
#include "wire/mux.h"

namespace wrenn::guest {
namespace {

using Accept = std::function<Result<UniqueFd>(uint16_t port)>;

// The sessions of a host that was frozen or restored come and go; a machine has few at a time.
constexpr int kBacklog = 16;
// Between tries when there are no descriptors or no memory.
constexpr int kRetryMs = 100;

Result<UniqueFd> Listen() {
  UniqueFd listener(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener) return Fail(ErrnoError("there is no vsock in this kernel"));
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = VMADDR_CID_ANY;
  address.svm_port = wire::kAgentPort;
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0 ||
      ::listen(listener.get(), kBacklog) < 0) {
    return Fail(ErrnoError("cannot listen on vsock"));
  }
  return listener;
}

// One connection is one session: the host makes a new one for the next.
void Serve(const UniqueFd& connection, const Accept& accept) {
  wire::MuxServerOptions options;
  options.accept = accept;
  auto served = wire::ServeMux(connection.get(), options);
  if (!served) Console("vsock: {}", served.error().ToString());
}

void AcceptAll(const UniqueFd& listener, const Accept& accept) {
  for (;;) {
    sockaddr_vm peer{};
    socklen_t size = sizeof peer;
    UniqueFd connection(::accept4(listener.get(), reinterpret_cast<sockaddr*>(&peer), &size,
                                  SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection) {
      ::poll(nullptr, 0, kRetryMs);
    } else if (peer.svm_cid == VMADDR_CID_HOST) {
      try {
        std::thread([accept, own = std::move(connection)] { Serve(own, accept); }).detach();
      } catch (const std::system_error&) {
        // No more threads: the connection is closed, which has the host try again.
      }
    }
  }
}

}  // namespace

Status ServeVsock(Accept accept) {
  ASSIGN_OR_RETURN(UniqueFd listener, Listen());
  std::thread([accept = std::move(accept), own = std::move(listener)] {
    AcceptAll(own, accept);
  }).detach();
  return {};
}

}  // namespace wrenn::guest
