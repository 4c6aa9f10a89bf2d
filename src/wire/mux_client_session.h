// ClientSession: the host's side of a mux session, which opens streams.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "wire/mux_session.h"

namespace wrenn::wire {

// The requests for streams on their way to the session's thread, and their results on the way back.
// Thread-safe.
class MuxRequests {
 public:
  struct Request {
    uint16_t port = 0;
    UniqueFd local;  // the session's end of the socket pair
    std::optional<Status> result;
  };

  // Hands a request over; kUnavailable after Close().
  Status Push(std::shared_ptr<Request> request);
  std::vector<std::shared_ptr<Request>> TakeAll();
  void Resolve(Request& request, Status result);
  // Waits for the result.
  Status Await(const Request& request, Deadline deadline);
  // Refuses requests from now on, and answers those that nobody has taken.
  void Close();
  bool closed() const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable resolved_;
  std::vector<std::shared_ptr<Request>> waiting_;
  bool closed_ = false;
};

class ClientSession : public MuxSession {
 public:
  // `wake` is an eventfd, signalled after each push and after Stop(). The requests are closed when
  // the session ends, before its streams break.
  ClientSession(int transport, int wake, MuxRequests& requests)
      : MuxSession(Role::kClient, transport, wake, {}), wake_fd_(wake), requests_(requests) {}

  // Makes the running session end at the next wake-up. From any thread.
  void Stop() { stop_ = true; }

 private:
  using Open = std::map<int32_t, std::shared_ptr<MuxRequests::Request>>;

  bool OnWake() override;
  void OnHeadBegin(int32_t id) override;
  bool OnHeadField(int32_t id, std::string_view name, std::string_view value) override;
  void OnHeadEnd(int32_t id) override;
  void OnStreamEnd(int32_t id) override;
  void OnEnd() override;

  void Start(std::shared_ptr<MuxRequests::Request> request);
  void Refuse(Open::iterator entry, std::string_view reason);

  const int wake_fd_;
  MuxRequests& requests_;
  Open open_;           // not answered yet
  std::string status_;  // of the head that is being received
  std::string reason_;
  std::atomic<bool> stop_{false};
};

}  // namespace wrenn::wire
