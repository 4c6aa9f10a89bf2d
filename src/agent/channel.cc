#include "agent/channel.h"

#include <atomic>

#include "wire/agent_api.h"
#include "wire/sockets.h"

namespace wrenn::agent {
namespace {

class TcpChannel : public Channel {
 public:
  TcpChannel(std::string address, uint16_t agent_port)
      : address_(std::move(address)), agent_port_(agent_port) {}

  Result<UniqueFd> Connect(uint16_t port, Lane, Deadline deadline) override {
    if (closed_) return Fail(Code::kUnavailable, "the channel to the guest is closed");
    auto fd = wire::ConnectTcp(address_, port == wire::kAgentPort ? agent_port_ : port, deadline);
    if (!fd && fd.error().code != Code::kDeadlineExceeded) fd.error().code = Code::kUnavailable;
    return fd;
  }

  void Close() override { closed_ = true; }

 private:
  const std::string address_;
  const uint16_t agent_port_;
  std::atomic<bool> closed_{false};
};

}  // namespace

std::unique_ptr<Channel> MakeTcpChannel(std::string address, uint16_t agent_port) {
  return std::make_unique<TcpChannel>(std::move(address), agent_port);
}

}  // namespace wrenn::agent
