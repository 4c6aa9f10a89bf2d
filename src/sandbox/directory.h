// Directory: the sandboxes of this host by id; sees to it that there is one object for each.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "sandbox/sandbox.h"

namespace wrenn::sandbox {

// Keeps those that live; the ended ones are in the store, and are loaded while something is done
// with them. Thread-safe.
class Directory {
 public:
  explicit Directory(Services& services) : services_(services) {}

  void Add(const std::shared_ptr<Sandbox>& sandbox);
  // The sandbox of a live or stored id. kNotFound, also for another tenant's.
  Result<std::shared_ptr<Sandbox>> Find(const std::string& tenant, const std::string& id);
  // The same of any tenant.
  Result<std::shared_ptr<Sandbox>> FindAny(const std::string& id);
  // The live one of this id, or null.
  std::shared_ptr<Sandbox> FindLive(const std::string& id) const;
  std::vector<std::shared_ptr<Sandbox>> Live() const;

  // It does not live any more.
  void Forget(const std::string& id);
  // Waits until none lives. False when the deadline passed first.
  bool WaitEmpty(Deadline deadline);

 private:
  Services& services_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::shared_ptr<Sandbox>> live_;
  std::map<std::string, std::weak_ptr<Sandbox>> loaded_;  // ended ones in somebody's hands
};

}  // namespace wrenn::sandbox
