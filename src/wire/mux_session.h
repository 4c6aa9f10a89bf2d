// MuxSession: one HTTP/2 session and the local sockets of its streams, driven by one thread.
//
// Back pressure, both ways: a stream's socket is read only when the session takes its data (its
// window is open and the transport is not backed up), and the peer's window opens only for bytes
// that the local socket took. So each stream holds at most one window of bytes, whatever either
// side does, and the connection's window is large enough that a stalled stream never closes it for
// the others.
#pragma once

#include <nghttp2/nghttp2.h>
#include <poll.h>

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/io.h"
#include "wire/byte_queue.h"

namespace wrenn::wire {

inline constexpr uint32_t kMuxMaxStreams = 1024;
inline constexpr int32_t kMuxStreamWindow = 256 << 10;
inline constexpr int32_t kMuxConnectionWindow = 1024 * kMuxStreamWindow;

// Field of an answer that refuses a stream: why, for people.
inline constexpr std::string_view kMuxReasonField = "wrenn-reason";

class MuxSession {
 public:
  enum class Role { kClient, kServer };
  // How a session ended. kBroken: by what the peer sent, or because the peer said so.
  enum class End { kStopped, kTransportClosed, kBroken };

  MuxSession(const MuxSession&) = delete;
  MuxSession& operator=(const MuxSession&) = delete;
  virtual ~MuxSession();

  // Runs until the session ends; the streams' sockets are closed then. `received` are bytes of the
  // session that came off the transport already.
  End Run(std::string_view received);

  // What the transport has not taken yet when the session ends.
  std::string_view unsent() const { return out_.front(); }

 protected:
  // Neither descriptor is owned; `transport` is non-blocking. `unsent` goes out before the
  // session's own bytes.
  MuxSession(Role role, int transport, int wake, std::string_view unsent);

  // The wake descriptor is readable; false ends the session.
  virtual bool OnWake() = 0;
  // How many of the bytes belong to this session; less than all ends it.
  virtual size_t Admit(std::string_view bytes) { return bytes.size(); }
  // A head with its fields came in: begin, fields one by one, end. False refuses the stream.
  virtual void OnHeadBegin(int32_t id) = 0;
  virtual bool OnHeadField(int32_t id, std::string_view name, std::string_view value) = 0;
  virtual void OnHeadEnd(int32_t id) = 0;
  // The transport read end of file: whether it can be used on.
  virtual bool PeerIsBack() { return false; }
  // The session has closed a stream, whether a socket was attached to it or not.
  virtual void OnStreamEnd(int32_t id) = 0;
  // The session has ended; its streams are about to break.
  virtual void OnEnd() {}

  nghttp2_session* session() { return session_; }
  // Makes `local` the socket of a stream.
  void Attach(int32_t id, UniqueFd local);
  // What gives a stream's data to nghttp2.
  nghttp2_data_provider DataProvider();
  void Reset(int32_t id, uint32_t error);
  bool HasStream(int32_t id) const { return streams_.contains(id); }
  size_t stream_count() const { return streams_.size(); }

 private:
  struct Stream {
    UniqueFd local;
    ByteQueue pending;             // from the peer, not yet taken by the socket
    bool waits_for_input = false;  // the session wants data and the socket has none
    bool may_read = true;          // the socket may have more than was read
    bool local_ended = false;      // the socket's end of file was passed on
    bool peer_ended = false;       // nothing more comes from the peer
    bool detached = false;         // the session has forgotten it; only `pending` is left to do
    // Host only: set when the socket's user has closed it, and its last bytes wait for the guest.
    Deadline give_up = Deadline::Never();
  };
  using Streams = std::unordered_map<int32_t, Stream>;

  struct Callbacks;  // nghttp2's, which call the functions below
  ssize_t ReadLocal(int32_t id, uint8_t* out, size_t size, uint32_t* flags);
  void OnData(int32_t id, std::string_view data);
  void OnPeerEnd(int32_t id);
  void OnClose(int32_t id, uint32_t error);

  // Writes what is pending to the socket. False when the socket is broken.
  bool WriteLocal(int32_t id, Stream& stream, std::string_view data, size_t& written);
  void FlushLocal(int32_t id);
  // The socket's user has closed it while the session waited for the peer.
  void NoteHangUp(Streams::iterator entry);
  // Ends the streams whose last bytes the session has not taken in time.
  void AbandonStale();
  // Ends a stream whose socket is broken or gone.
  void Abandon(Streams::iterator entry, uint32_t error);
  // Ends the half of the socket that the peer has ended, or all of it.
  void FinishLocal(Streams::iterator entry);

  void Collect();
  bool FlushTransport();
  bool ReadTransport();
  bool Receive(std::string_view bytes);
  bool Ended();
  void BuildPollSet();
  void ServeStream(int32_t id, short ready);

  const Role role_;
  const int transport_;
  const int wake_;
  nghttp2_session* session_ = nullptr;
  Streams streams_;
  ByteQueue out_;              // for the transport
  bool more_to_send_ = false;  // the session has more than `out_` took
  bool goaway_ = false;        // either side ended the session
  End end_ = End::kBroken;
  const std::unique_ptr<char[]> read_buffer_;  // its pages are touched only as far as reads reach
  std::vector<pollfd> poll_set_;
  std::vector<int32_t> poll_ids_;          // of poll_set_'s entries behind the first two
  Deadline stale_at_ = Deadline::Never();  // when the first stream is to be given up
};

// A header field for nghttp2, which copies it.
nghttp2_nv MuxField(std::string_view name, std::string_view value);

}  // namespace wrenn::wire
