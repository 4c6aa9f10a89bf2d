#include "disk/loop_registry.h"

#include <utility>

#include "disk/sparse_copy.h"

namespace wrenn::disk {

LoopRegistry::Lease::Lease(Lease&& other) noexcept
    : registry_(std::exchange(other.registry_, nullptr)),
      number_(other.number_),
      device_(other.device_) {}

Status LoopRegistry::Lease::Release(Deadline deadline) {
  LoopRegistry* registry = std::exchange(registry_, nullptr);
  return registry ? registry->Drop(number_, deadline) : Status();
}

Result<LoopRegistry::Lease> LoopRegistry::Acquire(const std::string& image) {
  ASSIGN_OR_RETURN(const UniqueFd file, OpenImage(image));
  ASSIGN_OR_RETURN(const os::FileIdentity identity, os::IdentityOf(file.get()));
  const std::lock_guard lock(mutex_);
  for (auto& [number, entry] : entries_) {
    if (entry.device.file() == identity) return Use(entry);
  }
  ASSIGN_OR_RETURN(os::LoopDevice device, os::LoopDevice::Attach(file.get(), {.read_only = true}));
  const unsigned number = device.number();
  return Use(entries_.try_emplace(number, Entry{std::move(device)}).first->second);
}

Result<LoopRegistry::Lease> LoopRegistry::Adopt(const std::string& image, unsigned number) {
  ASSIGN_OR_RETURN(const UniqueFd file, OpenImage(image));
  ASSIGN_OR_RETURN(const os::FileIdentity identity, os::IdentityOf(file.get()));
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(number);
  if (found != entries_.end() && found->second.device.file() == identity) return Use(found->second);
  ASSIGN_OR_RETURN(os::LoopDevice device, os::LoopDevice::Open(number, identity));
  return Use(entries_.try_emplace(number, Entry{std::move(device)}).first->second);
}

size_t LoopRegistry::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

LoopRegistry::Lease LoopRegistry::Use(Entry& entry) {
  ++entry.users;
  return {this, entry.device.number(), entry.device.device()};
}

Status LoopRegistry::Drop(unsigned number, Deadline deadline) {
  std::unique_lock lock(mutex_);
  const auto found = entries_.find(number);
  if (--found->second.users > 0) return {};
  os::LoopDevice device = std::move(found->second.device);
  entries_.erase(found);
  lock.unlock();
  return device.Detach(deadline);
}

}  // namespace wrenn::disk
