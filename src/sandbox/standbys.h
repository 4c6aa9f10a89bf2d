// Standbys: the machines of paused sandboxes that still stand in memory, so that a resume takes
// milliseconds (docs/adr/0012-standby.md).
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "sandbox/admission.h"
#include "vmm/machine.h"

namespace wrenn::sandbox {

// Thread-safe. The machines belong to their sandboxes, which see the end of one that is ended here
// as they see any other. Their memory counts as spare, and has its part of that.
class Standbys {
 public:
  explicit Standbys(Admission& admission) : admission_(admission) {}
  ~Standbys() { Stop(); }

  // Whether Keep() would find room for a machine of this size now.
  bool HasRoom(int64_t memory_mb) const;
  // Takes a machine that stands still, whose sandbox has this reservation, and makes that spare.
  // Those that have stood longest end where there is no room for all. False when there is none for
  // this one; then the reservation is the caller's still.
  bool Keep(const std::string& id, std::shared_ptr<vmm::Machine> machine, int64_t memory_mb,
            Reservation& reservation);
  // Gives a machine back to its sandbox: its reservation, still spare. Nothing when it is not here,
  // which may be because it is being ended.
  std::optional<Reservation> Take(const std::string& id);
  // Ends machines until so much memory has been given back, those that have stood longest first;
  // answers how much has been.
  int64_t GiveBack(int64_t memory_mb);
  // Ends all, and keeps no more.
  void Stop();

  int count() const;

 private:
  struct Standby {
    std::string id;
    std::shared_ptr<vmm::Machine> machine;
    int64_t memory_mb = 0;
    Reservation reservation;
  };

  Admission& admission_;
  mutable std::mutex mutex_;
  std::deque<Standby> standbys_;  // the one that has stood longest first
  bool stopped_ = false;
};

}  // namespace wrenn::sandbox
