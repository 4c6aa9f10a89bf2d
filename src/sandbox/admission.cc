#include "sandbox/admission.h"

#include "os/files.h"

namespace wrenn::sandbox {
namespace {

// 0 as limit: none. `flag` is the server's that sets it.
Status CheckOne(std::string_view what, std::string_view flag, int64_t used, int64_t wanted,
                int64_t limit) {
  if (limit <= 0 || used + wanted <= limit) return {};
  return Fail(
      Code::kResourceExhausted,
      "this host has no room for it: {} of {} {} are taken and {} more are wanted; remove or "
      "stop a sandbox, or raise the server's limit ({})",
      used, limit, what, wanted, flag);
}

}  // namespace

void Reservation::Release() {
  if (Admission* from = std::exchange(from_, nullptr)) from->Add(amount_, -1);
}

Result<Reservation> Admission::Reserve(const Amount& amount) {
  RETURN_IF_ERROR(CheckFreeDisk());
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(CheckOne("sandboxes", "--max-sandboxes", used_.sandboxes, amount.sandboxes,
                           limits_.max_sandboxes));
  RETURN_IF_ERROR(
      CheckOne("virtual CPUs", "--max-vcpus", used_.vcpus, amount.vcpus, limits_.max_vcpus));
  RETURN_IF_ERROR(CheckOne("MiB of memory", "--max-memory-mb", used_.memory_mb, amount.memory_mb,
                           limits_.max_memory_mb));
  RETURN_IF_ERROR(
      CheckOne("MiB of disk", "--max-disk-mb", used_.disk_mb, amount.disk_mb, limits_.max_disk_mb));
  used_.sandboxes += amount.sandboxes;
  used_.vcpus += amount.vcpus;
  used_.memory_mb += amount.memory_mb;
  used_.disk_mb += amount.disk_mb;
  return Reservation(this, amount);
}

Reservation Admission::Take(const Amount& amount) {
  Add(amount, 1);
  return Reservation(this, amount);
}

Amount Admission::used() const {
  std::lock_guard lock(mutex_);
  return used_;
}

Status Admission::CheckFreeDisk() const {
  if (limits_.min_free_disk_mb <= 0) return {};
  ASSIGN_OR_RETURN(const uint64_t free_bytes, os::FreeDiskBytes(root_));
  const auto free_mb = static_cast<int64_t>(free_bytes >> 20);
  if (free_mb >= limits_.min_free_disk_mb) return {};
  return Fail(Code::kResourceExhausted,
              "the disk for sandboxes is nearly full: {} MiB are left and {} MiB must stay free; "
              "remove sandboxes or templates, or free space otherwise",
              free_mb, limits_.min_free_disk_mb);
}

void Admission::Add(const Amount& amount, int sign) {
  std::lock_guard lock(mutex_);
  used_.sandboxes += sign * amount.sandboxes;
  used_.vcpus += sign * amount.vcpus;
  used_.memory_mb += sign * amount.memory_mb;
  used_.disk_mb += sign * amount.disk_mb;
}

}  // namespace wrenn::sandbox
