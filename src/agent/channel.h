// Channel: the one way from host to guest.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "base/io.h"
#include "wire/mux.h"

namespace wrenn::agent {

// Which lane of a channel a stream takes, so that a file transfer never delays a key stroke.
enum class Lane { kInteractive, kBulk };

// Gives byte streams to ports of one guest. Thread-safe.
class Channel {
 public:
  virtual ~Channel() = default;
  // A connected, non-blocking stream socket: to the agent for wire::kAgentPort, else to
  // localhost:port in the guest. kUnavailable when the guest cannot be reached or nothing listens.
  virtual Result<UniqueFd> Connect(uint16_t port, Lane lane, Deadline deadline) = 0;
  // Connects to the machine (not to the guest, which need not run), so that a guest that is
  // restored finds its host there. The first Connect() does it otherwise.
  virtual Status Open(Deadline) { return {}; }
  // Ends all streams; later Connect() calls fail. For a machine that is going away.
  virtual void Close() = 0;
};

// Plain TCP: an agent that listens on `address`:`agent_port`; other ports on the same address.
std::unique_ptr<Channel> MakeTcpChannel(std::string address, uint16_t agent_port);

// Multiplexed virtio-serial: one unix socket per lane, each with a Mux made at its first use and
// made anew when its session has ended. Interactive and bulk path may be the same file.
std::unique_ptr<Channel> MakeMuxChannel(std::string interactive_path, std::string bulk_path);

}  // namespace wrenn::agent
