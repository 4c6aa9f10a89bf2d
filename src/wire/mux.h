// Mux: many byte streams over one, by HTTP/2 CONNECT (RFC 9113 section 8.5) with nghttp2.
//
// Used over a virtio-serial port, which is one reliable byte stream that outlives both of its
// users: the host's process may be killed and come back, and a restored guest remembers a session
// that its new host never had. So a session begins with a hand-shake that no earlier session can
// survive or imitate:
//   host:  more 0xFF bytes than the largest HTTP/2 frame (whatever frame was cut short ends within
//          them, and as a frame header they are an oversized length, which ends the session), then
//          kHelloMagic and 16 random bytes;
//   guest: on the end of a session looks for the magic, and answers kHelloReply and the same 16
//   bytes; host:  drops everything up to that answer.
// A guest whose session broke otherwise sends 9 bytes 0xFF, which end the host's session likewise.
// Then both speak HTTP/2 from the connection preface on: the host as client, the guest as server.
//
// Each stream is handed out as one end of a unix socket pair: whoever holds it needs to know
// nothing of the mux, and back pressure is the kernel's: a stream's window opens as its socket is
// drained.
#pragma once

#include <functional>
#include <memory>

#include "base/io.h"

namespace wrenn::wire {

class Mux {
 public:
  virtual ~Mux() = default;

  // A new stream to a port of the other side (host side only). kUnavailable when the session has
  // ended, or the guest refuses because nothing listens on that port there.
  virtual Result<UniqueFd> Connect(uint16_t port, Deadline deadline) = 0;

  // Whether the session is alive. When it ends all its streams break (ECONNRESET or EOF).
  virtual bool alive() const = 0;

  // Ends the session, from any thread; Connect() calls in progress fail. Does not wait.
  virtual void Close() = 0;
};

// The host's side over a connected, non-blocking socket: does the hand-shake (waiting for the guest
// to answer until the deadline), then runs the session on a thread of its own until the socket ends
// or the object is destroyed. Before the guest's program runs there is no answer: so this is how
// its being ready is waited for.
Result<std::unique_ptr<Mux>> ConnectMux(UniqueFd transport, Deadline deadline);

// The guest's side: runs session after session over `transport` on the calling thread, until `stop`
// becomes readable or the transport fails. `accept(port)` gives the local end for a new stream, a
// connected non-blocking socket, or an error which refuses the stream; it must not block for long.
// `wait_for_peer` is called when the transport reads end of file (a virtio port whose host side is
// closed); it returns when it is worth trying again, or false to end.
// `peer_is_back` is asked when a session reads end of file, and says within a moment whether the
// host's side is open after all: a restored guest may learn late that it was closed for a while,
// when the new host's hand-shake has been read already.
struct MuxServerOptions {
  std::function<Result<UniqueFd>(uint16_t port)> accept;
  std::function<bool()> peer_is_back;
  std::function<bool()> wait_for_peer;
  int stop = -1;
};
Status ServeMux(int transport, const MuxServerOptions& options);

}  // namespace wrenn::wire
