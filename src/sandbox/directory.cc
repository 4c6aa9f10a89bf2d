#include "sandbox/directory.h"

#include "base/id.h"

namespace wrenn::sandbox {

void Directory::Add(const std::shared_ptr<Sandbox>& sandbox) {
  std::lock_guard lock(mutex_);
  live_[sandbox->id()] = sandbox;
}

Result<std::shared_ptr<Sandbox>> Directory::Find(const std::string& tenant, const std::string& id) {
  ASSIGN_OR_RETURN(auto sandbox, FindAny(id));
  // The same words as for one that does not exist: another tenant's is none of the caller's
  // business.
  if (sandbox->tenant() != tenant) return Fail(Code::kNotFound, "no sandbox '{}'", id);
  return sandbox;
}

Result<std::shared_ptr<Sandbox>> Directory::FindAny(const std::string& id) {
  if (!IsId("sb", id)) return Fail(Code::kNotFound, "no such sandbox: '{}' is not an id", id);
  std::lock_guard lock(mutex_);
  if (const auto live = live_.find(id); live != live_.end() && !live->second->IsRemoved()) {
    return live->second;
  }
  // Its executor may hold a removed one a little longer; for everybody else it is gone.
  std::weak_ptr<Sandbox>& slot = loaded_[id];
  if (auto sandbox = slot.lock(); sandbox && !sandbox->IsRemoved()) return sandbox;
  std::erase_if(loaded_, [&](const auto& entry) { return entry.second.expired(); });
  ASSIGN_OR_RETURN(store::SandboxRecord record, services_.store.GetSandbox(id));
  ASSIGN_OR_RETURN(auto sandbox, Sandbox::Make(services_, std::move(record)));
  loaded_[id] = sandbox;
  return sandbox;
}

std::shared_ptr<Sandbox> Directory::FindLive(const std::string& id) const {
  std::lock_guard lock(mutex_);
  const auto live = live_.find(id);
  return live == live_.end() ? nullptr : live->second;
}

std::vector<std::shared_ptr<Sandbox>> Directory::Live() const {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Sandbox>> all;
  all.reserve(live_.size());
  for (const auto& [id, sandbox] : live_) all.push_back(sandbox);
  return all;
}

void Directory::Forget(const std::string& id) {
  {
    std::lock_guard lock(mutex_);
    const auto live = live_.find(id);
    if (live == live_.end()) return;
    // Whoever still has it and whoever asks for it now shall have the same object.
    loaded_[id] = live->second;
    live_.erase(live);
  }
  changed_.notify_all();
}

bool Directory::WaitEmpty(Deadline deadline) {
  std::unique_lock lock(mutex_);
  const auto empty = [this] { return live_.empty(); };
  if (deadline.IsNever()) {
    changed_.wait(lock, empty);
    return true;
  }
  return changed_.wait_until(lock, deadline.when(), empty);
}

}  // namespace wrenn::sandbox
