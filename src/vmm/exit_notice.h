// ExitNotice: that a machine has ended, for all who wait for it.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>

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

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::optional<MachineExit> exit_;
  std::function<void(const MachineExit&)> callback_;
};

}  // namespace wrenn::vmm
