// A sandbox that lives no longer than the command that made it.
#pragma once

#include <string>
#include <utility>

#include "cli/api.h"
#include "cli/signals.h"

namespace wrenn::cli {

// Removed at the end of its life unless it is kept.
class OwnedSandbox {
 public:
  // Makes it. A signal that comes meanwhile ends the wait at once with kCanceled and is
  // `interrupted` then: a process in the background waits for the server's answer and removes what
  // was made. There must be no other threads.
  static Result<OwnedSandbox> Create(const Api& api, const json::object& request,
                                     SignalSource& signals, int& interrupted);
  OwnedSandbox(OwnedSandbox&& other) noexcept
      : api_(std::move(other.api_)), id_(std::exchange(other.id_, {})) {}
  OwnedSandbox& operator=(OwnedSandbox&&) = delete;
  ~OwnedSandbox();

  const std::string& id() const { return id_; }
  // Gives it up to the user; its id.
  std::string Keep() { return std::exchange(id_, {}); }
  Status Remove();
  // Removes it from the server; Remove() has nothing to do afterwards. Thread-safe.
  Status Destroy() const;

 private:
  OwnedSandbox(const Api& api, std::string id) : api_(api), id_(std::move(id)) {}
  Api api_;
  std::string id_;  // empty: nothing to remove
};

}  // namespace wrenn::cli
