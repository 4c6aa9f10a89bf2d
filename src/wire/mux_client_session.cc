#include "wire/mux_client_session.h"

#include <algorithm>

namespace wrenn::wire {
namespace {

constexpr size_t kMaxReason = 512;

tl::unexpected<Error> SessionEnded() {
  return Fail(Code::kUnavailable, "the connection to the guest has ended");
}

}  // namespace

Status MuxRequests::Push(std::shared_ptr<Request> request) {
  std::lock_guard lock(mutex_);
  if (closed_) return SessionEnded();
  waiting_.push_back(std::move(request));
  return {};
}

std::vector<std::shared_ptr<MuxRequests::Request>> MuxRequests::TakeAll() {
  std::lock_guard lock(mutex_);
  return std::exchange(waiting_, {});
}

void MuxRequests::Resolve(Request& request, Status result) {
  std::lock_guard lock(mutex_);
  request.result = std::move(result);
  resolved_.notify_all();
}

Status MuxRequests::Await(const Request& request, Deadline deadline) {
  std::unique_lock lock(mutex_);
  const auto done = [&] { return request.result.has_value(); };
  if (deadline.IsNever()) {
    resolved_.wait(lock, done);
  } else if (!resolved_.wait_until(lock, deadline.when(), done)) {
    return Fail(Code::kDeadlineExceeded, "the guest did not open port {} in time", request.port);
  }
  return *request.result;
}

void MuxRequests::Close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
  for (auto& request : waiting_) request->result = SessionEnded();
  waiting_.clear();
  resolved_.notify_all();
}

bool MuxRequests::closed() const {
  std::lock_guard lock(mutex_);
  return closed_;
}

bool ClientSession::OnWake() {
  DrainEventFd(wake_fd_);
  if (stop_) return false;
  for (auto& request : requests_.TakeAll()) Start(std::move(request));
  return true;
}

void ClientSession::Start(std::shared_ptr<MuxRequests::Request> request) {
  const uint32_t allowed =
      nghttp2_session_get_remote_settings(session(), NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  // Refused here, since nghttp2 would queue it without a limit of time.
  if (stream_count() >= std::min<uint32_t>(allowed, kMuxMaxStreams)) {
    requests_.Resolve(
        *request, Fail(Code::kResourceExhausted, "too many connections to the guest ({} are open)",
                       stream_count()));
    return;
  }
  const std::string authority = fmt::format("localhost:{}", request->port);
  const nghttp2_nv head[] = {MuxField(":method", "CONNECT"), MuxField(":authority", authority)};
  const nghttp2_data_provider provider = DataProvider();
  const int32_t id =
      nghttp2_submit_request(session(), nullptr, head, std::size(head), &provider, nullptr);
  if (id < 0) return requests_.Resolve(*request, SessionEnded());
  Attach(id, std::move(request->local));
  open_.emplace(id, std::move(request));
}

void ClientSession::OnHeadBegin(int32_t) {
  status_.clear();
  reason_.clear();
}

bool ClientSession::OnHeadField(int32_t, std::string_view name, std::string_view value) {
  if (name == ":status") status_ = value.substr(0, 3);
  if (name == kMuxReasonField) reason_ = value.substr(0, kMaxReason);
  return true;
}

void ClientSession::OnHeadEnd(int32_t id) {
  const auto entry = open_.find(id);
  if (entry == open_.end() || status_.starts_with('1')) return;  // not the final head
  if (status_ == "200") {
    requests_.Resolve(*entry->second, Status());
    open_.erase(entry);
    return;
  }
  Refuse(entry, reason_.empty() ? "refused with status " + status_ : reason_);
  Reset(id, NGHTTP2_CANCEL);
}

void ClientSession::OnStreamEnd(int32_t id) {
  const auto entry = open_.find(id);
  if (entry != open_.end()) Refuse(entry, "the guest broke the connection off");
}

void ClientSession::Refuse(Open::iterator entry, std::string_view reason) {
  requests_.Resolve(*entry->second, Fail(Code::kUnavailable, "port {} in the guest: {}",
                                         entry->second->port, reason));
  open_.erase(entry);
}

void ClientSession::OnEnd() {
  requests_.Close();
  for (auto& [id, request] : open_) requests_.Resolve(*request, SessionEnded());
  open_.clear();
}

}  // namespace wrenn::wire
