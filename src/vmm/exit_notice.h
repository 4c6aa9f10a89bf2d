// ExitNotice: that a machine has ended, for all who wait for it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string_view>

#include "base/deadline.h"
#include "vmm/machine.h"

namespace wrenn::vmm {

// Thread-safe.
class ExitNotice {
 public:
  // Once. Calls the callback, if there is one.
  void Set(const MachineExit& exit);
  // Machine::OnExit().
  void OnExit(std::function<void(const MachineExit&)> callback);
  std::optional<MachineExit> Get() const;
  // False when the deadline passed first.
  bool Wait(Deadline deadline) const;

  // Machine::Kill() of the machine `id`: has `signal` end its VMM, unless it has ended.
  Status Kill(const std::function<Status()>& signal, std::string_view id, Deadline deadline);
  // Whether that has been asked for.
  bool kill_requested() const { return kill_requested_; }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::optional<MachineExit> exit_;
  std::function<void(const MachineExit&)> callback_;
  std::atomic<bool> kill_requested_ = false;
};

}  // namespace wrenn::vmm
