// ProcessSession: one WebSocket and one process in the guest, until either is done.
#pragma once

#include <atomic>
#include <memory>
#include <optional>

#include "agent/client.h"
#include "api/context.h"
#include "api/guest_channel.h"
#include "api/websocket.h"

namespace wrenn::api {

// Two threads, so that output never waits for input nor input for output: the caller's takes the
// client's messages to the process, another the process's events to the client. Each waits as long
// as the other side takes (back pressure), and both notice when client, process, sandbox or server
// end.
//
// A client that goes away leaves the process running: it can be attached to again.
class ProcessSession {
 public:
  // How the process's events look to the client. Called by the output thread.
  class Format {
   public:
    virtual ~Format() = default;
    virtual Status SendOutput(WebSocket& socket, const wire::ProcessOutput& output) = 0;
    // Sends what it has held back; the process has ended.
    virtual Status Finish(WebSocket& socket) = 0;
    // What a client's message asks for; called by the input thread. An error is told to the client.
    virtual Status HandleMessage(ProcessSession& session, const WebSocketMessage& message) = 0;
  };

  // `limit`: when the process's own time is over, as far as it is known.
  static Result<std::unique_ptr<ProcessSession>> Make(Context& context, WebSocket& socket,
                                                      sandbox::Lease& lease,
                                                      agent::Client::Started started,
                                                      Deadline limit, Format& format);

  // Returns when the session is over. `stream` is what `socket` stands on.
  void Run(wire::ByteStream& stream);

  // For Format::HandleMessage(). What a process that has ended does not take is dropped.
  Status SendInput(const wire::ProcessInput& input);
  Status CloseStdin();
  Status SendSignal(wire::Signal signal);
  Status Resize(wire::PtySize size);

 private:
  ProcessSession(Context& context, WebSocket& socket, sandbox::Lease& lease,
                 agent::Client::Started started, Deadline limit, Format& format);

  // What ended the output thread's work.
  enum class Ending { kProcessEnded, kGuestLost, kServerStops, kClientGone };

  void PumpOutput();
  Ending CopyEvents();
  // Waits for the guest's next event, or for what ends the session before.
  std::optional<Ending> WaitForEvent();
  Status SendEvent(const wire::ProcessEvent& event);
  Status SendEnded(const wire::ProcessEnded& end, bool timed_out);

  void TakeMessages();
  // Waits for the client's next message; false when the process's side has ended.
  bool WaitForMessage();
  void AwaitClose();
  Status UnlessOver(Status status) const;

  Context& context_;
  WebSocket& socket_;
  sandbox::Lease& lease_;
  Format& format_;
  agent::ProcessStream events_;
  const wire::ProcessSelector process_;
  const uint32_t pid_;
  const Deadline limit_;
  std::shared_ptr<CuttableChannel> input_channel_;
  agent::Client input_;   // used by the input thread alone
  UniqueFd client_done_;  // eventfds: readable when that side has ended
  UniqueFd process_done_;
  std::atomic<bool> over_{false};  // either has
};

// {"type":"error","code":...,"data":message}
Status SendError(const Context& context, WebSocket& socket, const Error& error);

}  // namespace wrenn::api
