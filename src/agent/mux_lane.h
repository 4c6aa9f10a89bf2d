// MuxLane: one connection to the machine and the mux over it.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>

#include "agent/mux_channel.h"
#include "wire/mux.h"

namespace wrenn::agent {

// Makes the session at its first use and anew when it has ended. However many threads want it at
// once, one makes it and the others wait, each until its own deadline. Thread-safe.
class MuxLane {
 public:
  explicit MuxLane(Transport transport) : transport_(std::move(transport)) {}
  ~MuxLane() { Close(); }

  Result<UniqueFd> Connect(uint16_t port, Deadline deadline);
  // Connects the socket for the first session, unless the guest must run for that. Before the first
  // Connect().
  Status Open(Deadline deadline);
  // Breaks the session, also one that is being made, and refuses new ones.
  void Close();

 private:
  struct Session {
    std::shared_ptr<wire::Mux> mux;
    bool fresh = false;  // made for this call
  };
  Result<Session> Take(Deadline deadline);
  // Makes a session, trying as often as the transport allows. In this and the next `lock` is held
  // on entry and return.
  Result<std::shared_ptr<wire::Mux>> Make(std::unique_lock<std::mutex>& lock, Deadline deadline);
  Result<std::shared_ptr<wire::Mux>> Try(std::unique_lock<std::mutex>& lock, Deadline deadline);

  const Transport transport_;
  std::mutex mutex_;
  std::condition_variable changed_;
  UniqueFd opened_;  // for the first session
  std::shared_ptr<wire::Mux> mux_;
  bool making_ = false;
  bool closed_ = false;
  UniqueFd
      handshake_;  // a duplicate of the socket while a session is made, for Close() to break it
};

}  // namespace wrenn::agent
