#include "wire/mux_session.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>

#include "wire/mux_hello.h"

namespace wrenn::wire {
namespace {

constexpr size_t kReadSize = 128 << 10;
// How much is collected for one write to the transport. More would not make it faster, but delay
// the other direction.
constexpr size_t kCollectBytes = 128 << 10;
// Frames that wait inside nghttp2 (answers to the peer's frames). An honest peer never causes so
// many.
constexpr size_t kMaxQueuedFrames = 16 * kMuxMaxStreams;
// Ends of streams that an honest host may cause; nghttp2's own limit of 33 a second is for
// strangers.
constexpr uint64_t kResetRate = 1'000'000;
// How long the last bytes of a socket that was closed on the host wait for the guest to open its
// window: it may never do so, and each such stream keeps a descriptor.
constexpr std::chrono::seconds kGiveUpAfter{30};

std::string_view View(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Makes the other end of a TCP connection see that it was broken off, not ended; no effect on
// others.
void CloseAbruptly(UniqueFd fd) {
  const linger hard{1, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

}  // namespace

nghttp2_nv MuxField(std::string_view name, std::string_view value) {
  const auto bytes = [](std::string_view text) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

struct MuxSession::Callbacks {
  static MuxSession& Self(void* user_data) { return *static_cast<MuxSession*>(user_data); }

  static int OnBeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    Self(user_data).OnHeadBegin(frame->hd.stream_id);
    return 0;
  }
  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                      void* user_data) {
    const bool good = Self(user_data).OnHeadField(frame->hd.stream_id, View(name, name_size),
                                                  View(value, value_size));
    return good ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }
  static int OnFrameReceived(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    MuxSession& self = Self(user_data);
    if (frame->hd.type == NGHTTP2_GOAWAY) self.goaway_ = true;
    if (frame->hd.type == NGHTTP2_HEADERS) self.OnHeadEnd(frame->hd.stream_id);
    const bool carries_end = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (carries_end && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
      self.OnPeerEnd(frame->hd.stream_id);
    }
    return 0;
  }
  static int OnFrameSent(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    if (frame->hd.type == NGHTTP2_GOAWAY) Self(user_data).goaway_ = true;
    return 0;
  }
  static int OnDataChunk(nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size,
                         void* user_data) {
    Self(user_data).OnData(id, View(data, size));
    return 0;
  }
  static int OnStreamClose(nghttp2_session*, int32_t id, uint32_t error, void* user_data) {
    Self(user_data).OnClose(id, error);
    return 0;
  }
  static ssize_t Read(nghttp2_session*, int32_t id, uint8_t* out, size_t size, uint32_t* flags,
                      nghttp2_data_source*, void* user_data) {
    return Self(user_data).ReadLocal(id, out, size, flags);
  }

  static nghttp2_session* NewSession(Role role, MuxSession* self);
};

nghttp2_session* MuxSession::Callbacks::NewSession(Role role, MuxSession* self) {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_option* option = nullptr;
  if (nghttp2_session_callbacks_new(&callbacks) != 0) throw std::bad_alloc();
  if (nghttp2_option_new(&option) != 0) throw std::bad_alloc();
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, OnBeginHeaders);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, OnHeader);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, OnFrameReceived);
  nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, OnFrameSent);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, OnDataChunk);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, OnStreamClose);
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_option_set_no_closed_streams(option, 1);
  nghttp2_option_set_max_reserved_remote_streams(option, 0);
  nghttp2_option_set_peer_max_concurrent_streams(option, kMuxMaxStreams);
  nghttp2_option_set_stream_reset_rate_limit(option, kResetRate, kResetRate);

  nghttp2_session* session = nullptr;
  const int made = role == Role::kClient
                       ? nghttp2_session_client_new2(&session, callbacks, self, option)
                       : nghttp2_session_server_new2(&session, callbacks, self, option);
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(callbacks);
  if (made != 0) throw std::bad_alloc();
  return session;
}

MuxSession::MuxSession(Role role, int transport, int wake, std::string_view unsent)
    : role_(role),
      transport_(transport),
      wake_(wake),
      read_buffer_(std::make_unique_for_overwrite<char[]>(kReadSize)) {
  session_ = Callbacks::NewSession(role, this);
  const uint32_t peer_streams = role == Role::kServer ? kMuxMaxStreams : 0;
  const std::array<nghttp2_settings_entry, 4> settings = {{
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kMuxStreamWindow},
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, peer_streams},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 8192},
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
  }};
  // ENABLE_PUSH is the client's to say (RFC 9113 section 6.5.2).
  const size_t count = role == Role::kClient ? settings.size() : settings.size() - 1;
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), count);
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kMuxConnectionWindow);
  out_.Append(unsent);
}

MuxSession::~MuxSession() { nghttp2_session_del(session_); }

nghttp2_data_provider MuxSession::DataProvider() {
  nghttp2_data_provider provider{};
  provider.read_callback = Callbacks::Read;
  return provider;
}

void MuxSession::Attach(int32_t id, UniqueFd local) { streams_[id].local = std::move(local); }

void MuxSession::Reset(int32_t id, uint32_t error) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, error);
}

// --- From the local sockets to the peer ---

ssize_t MuxSession::ReadLocal(int32_t id, uint8_t* out, size_t size, uint32_t* flags) {
  const auto entry = streams_.find(id);
  if (entry == streams_.end()) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  Stream& stream = entry->second;
  ssize_t got = -1;
  errno = EAGAIN;
  if (stream.may_read) {
    do {
      got = ::read(stream.local.get(), out, size);
    } while (got < 0 && errno == EINTR);
  }
  if (got > 0) {
    // A short read has emptied the socket: the next one waits for poll to say that there is more.
    stream.may_read = static_cast<size_t>(got) == size;
    return got;
  }
  if (got < 0 && errno == EAGAIN) {
    stream.waits_for_input = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  if (got < 0) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // nghttp2 resets the stream
  stream.local_ended = true;
  *flags |= NGHTTP2_DATA_FLAG_EOF;
  return 0;
}

// --- From the peer to the local sockets ---

bool MuxSession::WriteLocal(int32_t id, Stream& stream, std::string_view data, size_t& written) {
  written = 0;
  while (written < data.size()) {
    const ssize_t sent = ::send(stream.local.get(), data.data() + written, data.size() - written,
                                MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      written += static_cast<size_t>(sent);
    } else if (errno == EAGAIN) {
      break;
    } else if (errno != EINTR) {
      return false;
    }
  }
  if (written > 0) nghttp2_session_consume(session_, id, written);
  return true;
}

void MuxSession::OnData(int32_t id, std::string_view data) {
  const auto entry = streams_.find(id);
  if (entry == streams_.end()) {
    nghttp2_session_consume_connection(session_, data.size());
    return;
  }
  Stream& stream = entry->second;
  size_t written = 0;
  const bool good = !stream.pending.empty() || WriteLocal(id, stream, data, written);
  stream.pending.Append(data.substr(written));
  if (!good) Abandon(entry, NGHTTP2_CANCEL);
}

void MuxSession::FlushLocal(int32_t id) {
  const auto entry = streams_.find(id);
  if (entry == streams_.end()) return;
  Stream& stream = entry->second;
  size_t written = 0;
  const bool good = WriteLocal(id, stream, stream.pending.front(), written);
  stream.pending.Consume(written);
  if (!good) return Abandon(entry, NGHTTP2_CANCEL);
  if (stream.pending.empty() && stream.peer_ended) FinishLocal(entry);
}

void MuxSession::OnPeerEnd(int32_t id) {
  const auto entry = streams_.find(id);
  if (entry == streams_.end()) return;
  entry->second.peer_ended = true;
  if (entry->second.pending.empty()) FinishLocal(entry);
}

void MuxSession::FinishLocal(Streams::iterator entry) {
  ::shutdown(entry->second.local.get(), SHUT_WR);
  if (entry->second.detached) streams_.erase(entry);
}

void MuxSession::Abandon(Streams::iterator entry, uint32_t error) {
  const int32_t id = entry->first;
  Stream stream = std::move(entry->second);
  streams_.erase(entry);
  nghttp2_session_consume_connection(session_, stream.pending.size());
  CloseAbruptly(std::move(stream.local));
  if (!stream.detached) Reset(id, error);
}

void MuxSession::OnClose(int32_t id, uint32_t error) {
  OnStreamEnd(id);
  const auto entry = streams_.find(id);
  if (entry == streams_.end()) return;
  Stream& stream = entry->second;
  stream.detached = true;
  stream.waits_for_input = false;
  // CANCEL is how a peer's user goes away: what it sent before is still good.
  if (error != NGHTTP2_NO_ERROR && error != NGHTTP2_CANCEL) return Abandon(entry, error);
  stream.peer_ended = true;
  if (stream.pending.empty()) FinishLocal(entry);
}

// --- The transport ---

void MuxSession::Collect() {
  more_to_send_ = false;
  while (out_.size() < kCollectBytes) {
    const uint8_t* data = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &data);
    if (size <= 0) {
      if (size < 0) goaway_ = true;
      return;
    }
    out_.Append(View(data, static_cast<size_t>(size)));
  }
  more_to_send_ = true;
}

bool MuxSession::FlushTransport() {
  while (!out_.empty()) {
    const ssize_t sent = WriteQuietly(transport_, out_.front());
    if (sent >= 0) {
      out_.Consume(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      return true;
    } else if (errno != EINTR) {
      end_ = End::kTransportClosed;
      return false;
    }
  }
  return true;
}

bool MuxSession::Receive(std::string_view bytes) {
  const size_t own = Admit(bytes);
  if (own > 0) {
    const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
    if (nghttp2_session_mem_recv(session_, data, own) < 0) goaway_ = true;
  }
  return own == bytes.size();
}

bool MuxSession::ReadTransport() {
  const ssize_t got = ::read(transport_, read_buffer_.get(), kReadSize);
  if (got > 0) return Receive({read_buffer_.get(), static_cast<size_t>(got)});
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (got == 0 && PeerIsBack()) return true;
  end_ = End::kTransportClosed;
  return false;
}

bool MuxSession::Ended() {
  return goaway_ || nghttp2_session_get_outbound_queue_size(session_) > kMaxQueuedFrames ||
         (!nghttp2_session_want_read(session_) && !nghttp2_session_want_write(session_));
}

void MuxSession::BuildPollSet() {
  poll_set_.clear();
  poll_ids_.clear();
  const int out = out_.empty() ? 0 : POLLOUT;
  poll_set_.push_back({transport_, static_cast<short>(POLLIN | out), 0});
  poll_set_.push_back({wake_, POLLIN, 0});
  stale_at_ = Deadline::Never();
  for (const auto& [id, stream] : streams_) {
    int events = 0;
    if (stream.waits_for_input) events |= POLLIN;
    if (!stream.pending.empty()) events |= POLLOUT;
    stale_at_ = Deadline::Earlier(stale_at_, stream.give_up);
    // A stream that waits for the peer alone is not polled in the guest, for poll would return at
    // once for a hang-up that nothing can be done about yet; on the host, until that has happened.
    const bool hung_up = role_ == Role::kServer || !stream.give_up.IsNever();
    if (events == 0 && !stream.local_ended && hung_up) continue;
    poll_set_.push_back({stream.local.get(), static_cast<short>(events), 0});
    poll_ids_.push_back(id);
  }
}

void MuxSession::ServeStream(int32_t id, short ready) {
  auto entry = streams_.find(id);
  if (entry == streams_.end()) return;
  if (!entry->second.pending.empty() && (ready & (POLLOUT | POLLHUP | POLLERR))) {
    FlushLocal(id);
    entry = streams_.find(id);
    if (entry == streams_.end()) return;
  }
  Stream& stream = entry->second;
  if (stream.waits_for_input && (ready & (POLLIN | POLLHUP | POLLERR))) {
    stream.waits_for_input = false;
    stream.may_read = true;
    nghttp2_session_resume_data(session_, id);
  } else if (stream.local_ended && (ready & (POLLHUP | POLLERR))) {
    // The socket's user has closed it: nobody reads what may still come.
    Abandon(entry, NGHTTP2_CANCEL);
  } else if (role_ == Role::kClient && (ready & (POLLHUP | POLLERR))) {
    NoteHangUp(entry);
  }
}

void MuxSession::NoteHangUp(Streams::iterator entry) {
  char byte;
  const ssize_t left = ::recv(entry->second.local.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (left <= 0) return Abandon(entry, NGHTTP2_CANCEL);
  entry->second.give_up = Deadline::After(kGiveUpAfter);
}

void MuxSession::AbandonStale() {
  if (!stale_at_.HasPassed()) return;
  std::vector<int32_t> stale;
  for (const auto& [id, stream] : streams_) {
    if (stream.give_up.HasPassed()) stale.push_back(id);
  }
  // Not CANCEL, after which the guest would take the cut stream for a whole one.
  for (const int32_t id : stale) Abandon(streams_.find(id), NGHTTP2_INTERNAL_ERROR);
}

MuxSession::End MuxSession::Run(std::string_view received) {
  bool going = received.empty() || Receive(received);
  while (going) {
    AbandonStale();
    Collect();
    if (!FlushTransport() || Ended()) break;
    BuildPollSet();
    const bool again = more_to_send_ && out_.empty();
    if (::poll(poll_set_.data(), poll_set_.size(), again ? 0 : stale_at_.PollTimeout()) < 0) {
      if (errno == EINTR) continue;
      break;
    }
    if (poll_set_[1].revents && !OnWake()) {
      end_ = End::kStopped;
      break;
    }
    if (poll_set_[0].revents & ~POLLOUT) going = ReadTransport();
    for (size_t i = 0; i < poll_ids_.size(); ++i) {
      if (poll_set_[i + 2].revents) ServeStream(poll_ids_[i], poll_set_[i + 2].revents);
    }
  }
  OnEnd();
  for (auto& [id, stream] : streams_) CloseAbruptly(std::move(stream.local));
  streams_.clear();
  return end_;
}

}  // namespace wrenn::wire
