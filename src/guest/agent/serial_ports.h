// The agent's channel on virtio-serial: each port carries many streams (wire/mux.h).
#pragma once

#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/io.h"

namespace wrenn::guest {

// The ports of the agent's lanes are named so: "wrenn.agent.0" (interactive), "wrenn.agent.1"
// (bulk).
inline constexpr std::string_view kPortPrefix = "wrenn.agent.";

// The device files of the agent's ports that are there, e.g. "/dev/vport0p1". `sysfs` is where the
// kernel lists them: /sys/class/virtio-ports.
std::vector<std::string> FindSerialPorts(const std::string& sysfs);

// Serves ports as they appear, each on a thread of its own, for as long as the program runs.
class SerialPorts {
 public:
  // `accept(port)` answers a stream to a port of the guest: a connected, non-blocking socket.
  using Accept = std::function<Result<UniqueFd>(uint16_t port)>;
  explicit SerialPorts(Accept accept) : accept_(std::move(accept)) {}

  // Looks for new ports.
  void Scan();

 private:
  void Serve(const std::string& device);

  const Accept accept_;
  std::set<std::string> served_;
};

// A stream to localhost:port. kUnavailable when nothing listens there, or its queue is full.
Result<UniqueFd> ConnectLocal(uint16_t port);

}  // namespace wrenn::guest
