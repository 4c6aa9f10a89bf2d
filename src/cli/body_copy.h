// Bodies of requests and answers as long streams of bytes, between a descriptor and the server.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cli/api.h"

namespace wrenn::cli {

inline constexpr size_t kCopyBuffer = 256 << 10;

// For one step of a copy: a side that takes or gives nothing for so long is gone.
inline Deadline StepDeadline() { return Deadline::After(std::chrono::seconds(120)); }

// Shows how far a long transfer is, on a terminal only.
class TransferProgress {
 public:
  TransferProgress(std::string what, std::optional<uint64_t> total);
  ~TransferProgress();
  void Add(uint64_t bytes);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Sends all that a descriptor gives as the body of a POST to `target`; `what` names it where its
// progress is shown. `length`: how many bytes there will be, when that is known; kAborted when they
// are fewer. The server has `answer_limit` from the last byte to its answer; the connection that is
// returned has a success, whose body has not been read. Memory use is constant.
Result<std::unique_ptr<wire::HttpClient>> SendBody(const Api& api, const std::string& target,
                                                   int from, std::optional<uint64_t> length,
                                                   const std::string& what,
                                                   Deadline::Duration answer_limit);

// Gives the body of an answer to `sink`; how many bytes it was. Memory use is constant.
Result<uint64_t> ReceiveBody(wire::HttpClient& http, const std::string& what,
                             const std::function<Status(std::string_view)>& sink);

}  // namespace wrenn::cli
