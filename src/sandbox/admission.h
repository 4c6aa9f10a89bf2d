// Admission: what is promised to sandboxes, so that starts in parallel cannot overshoot a limit.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <utility>

#include "base/result.h"
#include "sandbox/limits.h"

namespace wrenn::sandbox {

struct Amount {
  int sandboxes = 0;
  int vcpus = 0;
  int64_t memory_mb = 0;
  int64_t disk_mb = 0;
  // Of memory_mb, what machines have that stand ready: it is given back when a sandbox wants it.
  int64_t spare_mb = 0;
};

class Admission;

// A part of the host that is promised to one sandbox, given back with the object.
class Reservation {
 public:
  Reservation() = default;
  Reservation(Reservation&& other) noexcept
      : from_(std::exchange(other.from_, nullptr)), amount_(other.amount_) {}
  Reservation& operator=(Reservation&& other) noexcept {
    std::swap(from_, other.from_);
    std::swap(amount_, other.amount_);
    return *this;
  }
  ~Reservation() { Release(); }

  void Release();

 private:
  friend class Admission;
  Reservation(Admission* from, const Amount& amount) : from_(from), amount_(amount) {}
  Amount amount() const { return from_ ? amount_ : Amount(); }
  Admission* from_ = nullptr;
  Amount amount_;
};

// Thread-safe. Outlives its reservations.
class Admission {
 public:
  // `root` is on the file system that must keep Limits::min_free_disk_mb.
  Admission(const Limits& limits, std::string root);

  // kResourceExhausted, naming the limit and what is in use, when it does not fit.
  Result<Reservation> Reserve(const Amount& amount);
  // Makes of a reservation, which may be empty, one of this amount: as Reserve() of what it grows
  // by. On failure it stays as it was.
  Status Change(Reservation& reservation, const Amount& amount);
  // For what runs already: counted whatever the limits say.
  Reservation Take(const Amount& amount);

  // Whether Change() would do it if all that is spare were given back.
  bool FitsWithoutSpare(const Reservation& reservation, const Amount& amount) const;
  // How much memory may be spare, a quarter of what sandboxes may have (by default, where they have
  // no limit), beside what is already but for that of `own`.
  int64_t FreeSpareMb(const Reservation& own = {}) const;

  Amount used() const;

 private:
  friend class Reservation;
  Status CheckFreeDisk() const;
  // Whether so much more fits beside what is used.
  Status CheckLimits(const Amount& used, const Amount& more) const;
  void Add(const Amount& amount, int sign);

  const Limits limits_;
  const int64_t most_spare_mb_;
  const std::string root_;
  mutable std::mutex mutex_;
  Amount used_;
};

}  // namespace wrenn::sandbox
