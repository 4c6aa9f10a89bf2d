// CuttableChannel: calls to a guest that another thread can end.
#pragma once

#include <mutex>

#include "agent/channel.h"

namespace wrenn::api {

// A call such as "send input" waits as long as the process reads nothing, which may be for ever;
// when the client has gone, or the process has ended, nobody needs it any more. A Client over this
// channel, used by one thread, has its call broken by Cut() from another.
class CuttableChannel final : public agent::Channel {
 public:
  // `inner` must outlive the object.
  explicit CuttableChannel(agent::Channel& inner) : inner_(inner) {}

  Result<UniqueFd> Connect(uint16_t port, agent::Lane lane, Deadline deadline) override;
  void Close() override { Cut(); }

  // Breaks the connection in use; later Connect() calls fail.
  void Cut();

 private:
  agent::Channel& inner_;
  std::mutex mutex_;
  UniqueFd current_;  // a duplicate of the last connection's descriptor
  bool cut_ = false;
};

}  // namespace wrenn::api
