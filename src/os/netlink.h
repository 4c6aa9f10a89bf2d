// NetlinkSocket: asks the kernel over netlink(7).
#pragma once

#include <functional>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "os/netlink_message.h"

namespace wrenn::os {

// A socket speaks with the network namespace that its thread was in when it was opened. For one
// thread at a time.
class NetlinkSocket {
 public:
  // `protocol` is NETLINK_ROUTE, NETLINK_NETFILTER, ...
  static Result<NetlinkSocket> Open(int protocol);

  // Sends all messages and waits for the kernel's word on those with NLM_F_ACK; a request without
  // one is empty and not sent. The first refusal is the error, with the errno's code, "cannot
  // <what>: ...", and the kernel's own words as the detail; whether messages behind it took effect
  // depends on the protocol. What else it answers goes to `part`, less the header.
  Status Send(NetlinkRequest& request, const std::function<void(std::string_view)>& part = {});

  // Sends one message with NLM_F_DUMP and hands every part of the answer, less the header, to
  // `part`. Begun anew when what is listed changes meanwhile: `begin` is called before each try.
  Status Dump(NetlinkRequest& request, const std::function<void()>& begin,
              const std::function<void(std::string_view)>& part);

  int fd() const { return fd_.get(); }

 private:
  explicit NetlinkSocket(UniqueFd fd) : fd_(std::move(fd)) {}
  Status Transmit(std::string_view bytes);
  Result<std::string_view> Receive();

  UniqueFd fd_;
  uint32_t sequence_ = 1;
  std::string buffer_;
};

}  // namespace wrenn::os
