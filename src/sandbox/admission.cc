#include "sandbox/admission.h"

#include <algorithm>

#include "os/files.h"

namespace wrenn::sandbox {
namespace {

// Of the memory that sandboxes may have, machines that stand ready take at most one part of so
// many.
constexpr int kSpareShare = 4;

Amount Sum(const Amount& a, const Amount& b, int sign) {
  return {a.sandboxes + sign * b.sandboxes, a.vcpus + sign * b.vcpus,
          a.memory_mb + sign * b.memory_mb, a.disk_mb + sign * b.disk_mb,
          a.spare_mb + sign * b.spare_mb};
}

// 0 as limit: none. `flag` is the server's that sets it.
Status CheckOne(std::string_view what, std::string_view flag, int64_t used, int64_t wanted,
                int64_t limit) {
  if (wanted <= 0 || limit <= 0 || used + wanted <= limit) return {};
  return Fail(
      Code::kResourceExhausted,
      "this host has no room for it: {} of {} {} are taken and {} more are wanted; remove or "
      "stop a sandbox, or raise the server's limit ({})",
      used, limit, what, wanted, flag);
}

}  // namespace

Admission::Admission(const Limits& limits, std::string root)
    : limits_(limits),
      most_spare_mb_(
          (limits.max_memory_mb > 0 ? limits.max_memory_mb : DefaultLimits().max_memory_mb) /
          kSpareShare),
      root_(std::move(root)) {}

void Reservation::Release() {
  if (Admission* from = std::exchange(from_, nullptr)) from->Add(amount_, -1);
}

Result<Reservation> Admission::Reserve(const Amount& amount) {
  Reservation reservation;
  RETURN_IF_ERROR(Change(reservation, amount));
  return reservation;
}

Status Admission::Change(Reservation& reservation, const Amount& amount) {
  const Amount more = Sum(amount, reservation.amount(), -1);
  if (std::max({int64_t{more.sandboxes}, int64_t{more.vcpus}, more.memory_mb, more.disk_mb}) > 0) {
    RETURN_IF_ERROR(CheckFreeDisk());
  }
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(CheckLimits(used_, more));
  used_ = Sum(used_, more, 1);
  reservation.from_ = this;
  reservation.amount_ = amount;
  return {};
}

Status Admission::CheckLimits(const Amount& used, const Amount& more) const {
  RETURN_IF_ERROR(CheckOne("sandboxes", "--max-sandboxes", used.sandboxes, more.sandboxes,
                           limits_.max_sandboxes));
  RETURN_IF_ERROR(
      CheckOne("virtual CPUs", "--max-vcpus", used.vcpus, more.vcpus, limits_.max_vcpus));
  RETURN_IF_ERROR(CheckOne("MiB of memory", "--max-memory-mb", used.memory_mb, more.memory_mb,
                           limits_.max_memory_mb));
  RETURN_IF_ERROR(CheckOne("MiB of memory for machines that stand ready", "--max-memory-mb",
                           used.spare_mb, more.spare_mb, most_spare_mb_));
  return CheckOne("MiB of disk", "--max-disk-mb", used.disk_mb, more.disk_mb, limits_.max_disk_mb);
}

Reservation Admission::Take(const Amount& amount) {
  Add(amount, 1);
  return Reservation(this, amount);
}

bool Admission::FitsWithoutSpare(const Reservation& reservation, const Amount& amount) const {
  if (!CheckFreeDisk()) return false;
  std::lock_guard lock(mutex_);
  Amount others = Sum(used_, reservation.amount(), -1);
  others.memory_mb -= others.spare_mb;
  // Nothing tells how much of the disk they have: the pool's machines have one each.
  others.disk_mb = 0;
  return CheckLimits(others, amount).has_value();
}

int64_t Admission::FreeSpareMb(const Reservation& own) const {
  std::lock_guard lock(mutex_);
  return most_spare_mb_ - used_.spare_mb + own.amount().spare_mb;
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
  used_ = Sum(used_, amount, sign);
}

}  // namespace wrenn::sandbox
