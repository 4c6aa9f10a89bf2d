// ServerSession: the guest's side of a mux session, which connects streams to local sockets.
#pragma once

#include <string>

#include "wire/mux.h"
#include "wire/mux_hello.h"
#include "wire/mux_session.h"

namespace wrenn::wire {

class ServerSession : public MuxSession {
 public:
  // `unsent` (the answer to the hand-shake) goes out first; `options` must outlive the session.
  ServerSession(int transport, std::string_view unsent, const MuxServerOptions& options)
      : MuxSession(Role::kServer, transport, options.stop, unsent), options_(options) {}

  // The bytes that came after the session's end and may begin a new hand-shake.
  const std::string& leftover() const { return leftover_; }
  // Whether it ended because a new hand-shake began.
  bool superseded() const { return superseded_; }

 private:
  bool OnWake() override { return false; }
  bool PeerIsBack() override { return options_.peer_is_back && options_.peer_is_back(); }
  size_t Admit(std::string_view bytes) override;
  void OnHeadBegin(int32_t id) override;
  bool OnHeadField(int32_t id, std::string_view name, std::string_view value) override;
  void OnHeadEnd(int32_t id) override;
  void OnStreamEnd(int32_t) override {}

  void Answer(int32_t id, Result<UniqueFd> local);

  const MuxServerOptions& options_;
  FrameTracker tracker_;
  std::string leftover_;
  bool superseded_ = false;
  std::string method_;  // of the head that is being received
  std::string authority_;
};

// The port of ":authority localhost:PORT", the only one that is served.
Result<uint16_t> ParseMuxAuthority(std::string_view authority);

}  // namespace wrenn::wire
