// QmpClient: one connection to a VMM's control socket.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/deadline.h"
#include "base/unique_fd.h"
#include "vmm/qemu/qmp_parser.h"

namespace wrenn::vmm {

// Any thread may Execute(); one other thread must Pump() whenever the descriptor is readable, for
// that is what delivers the answers.
class QmpClient {
 public:
  // Takes a connected, non-blocking socket through greeting and capabilities. kUnavailable when the
  // VMM closes it, kDeadlineExceeded when it says nothing.
  static Result<std::unique_ptr<QmpClient>> Connect(UniqueFd socket, Deadline deadline);

  // Runs a command and gives what it returned. kInternal with QEMU's words when it refuses,
  // kUnavailable when the connection has ended.
  Result<json::value> Execute(const std::string& command, json::object arguments,
                              Deadline deadline);
  // Sends a command and does not wait for its answer: for the thread that pumps.
  Status Post(const std::string& command, Deadline deadline);
  // Hands the VMM a descriptor under a name, for a command to use (getfd). The caller keeps its
  // own.
  Status PassDescriptor(const std::string& name, int descriptor, Deadline deadline);

  // Hands it a descriptor for a command that takes a path, which then is "/dev/fdset/<answer>"
  // (add-fd; remove-fd takes it back). It must be open as the command opens files.
  Result<int64_t> AddDescriptor(int descriptor, Deadline deadline);

  int fd() const { return socket_.get(); }
  const std::string& build() const { return build_; }  // QmpGreeting's

  // Never waits. Takes what has arrived, hands answers to those who wait for them and events to
  // `on_event`. False when the connection has ended (or the VMM talks nonsense): everybody who
  // waits has been told.
  bool Pump(const std::function<void(const QmpEvent&)>& on_event);

 private:
  struct Answer {
    std::optional<Result<json::value>> result;
  };

  explicit QmpClient(UniqueFd socket) : socket_(std::move(socket)) {}
  // `descriptor` goes with the command's first byte, unless it is -1.
  Result<json::value> Send(const std::string& command, json::object arguments, int descriptor,
                           Deadline deadline);
  Status Write(uint64_t id, const std::string& command, json::object arguments, int descriptor,
               Deadline deadline);
  Status Negotiate(Deadline deadline);
  Result<QmpMessage> ReadMessage(Deadline deadline);
  void Deliver(QmpMessage message, const std::function<void(const QmpEvent&)>& on_event);
  void End();

  const UniqueFd socket_;
  std::string build_;  // never changed after Connect()
  QmpLines lines_;     // of the pumping thread alone

  std::mutex write_mutex_;
  std::mutex mutex_;
  std::condition_variable answered_;
  std::map<uint64_t, Answer*> waiting_;  // by command id
  uint64_t next_id_ = 1;
  bool ended_ = false;
};

}  // namespace wrenn::vmm
