#include "vmm/exit_notice.h"

#include <utility>

namespace wrenn::vmm {

void ExitNotice::Set(const MachineExit& exit) {
  std::function<void(const MachineExit&)> callback;
  {
    std::lock_guard lock(mutex_);
    exit_ = exit;
    callback = std::exchange(callback_, nullptr);
    changed_.notify_all();
  }
  if (callback) callback(exit);
}

void ExitNotice::OnExit(std::function<void(const MachineExit&)> callback) {
  std::unique_lock lock(mutex_);
  if (!exit_) {
    callback_ = std::move(callback);
    return;
  }
  const MachineExit exit = *exit_;
  lock.unlock();
  if (callback) callback(exit);
}

std::optional<MachineExit> ExitNotice::Get() const {
  std::lock_guard lock(mutex_);
  return exit_;
}

bool ExitNotice::Wait(Deadline deadline) const {
  std::unique_lock lock(mutex_);
  const auto ended = [this] { return exit_.has_value(); };
  if (!deadline.IsNever()) return changed_.wait_until(lock, deadline.when(), ended);
  changed_.wait(lock, ended);
  return true;
}

Status ExitNotice::Kill(const std::function<Status()>& signal, std::string_view id,
                        Deadline deadline) {
  if (Get()) return {};
  kill_requested_ = true;
  RETURN_IF_ERROR(signal());
  if (Wait(deadline)) return {};
  return Fail(Code::kDeadlineExceeded, "the VMM of '{}' has not ended in time", id);
}

}  // namespace wrenn::vmm
