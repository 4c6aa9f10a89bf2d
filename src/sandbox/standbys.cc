#include "sandbox/standbys.h"

#include <algorithm>
#include <utility>

namespace wrenn::sandbox {
namespace {

// A SIGKILL takes effect at once, but the kernel may be slow to give back a large guest's memory.
constexpr std::chrono::seconds kKillLimit{10};

}  // namespace

bool Standbys::HasRoom(int64_t memory_mb) const {
  std::lock_guard lock(mutex_);
  if (stopped_) return false;
  int64_t room = admission_.FreeSpareMb();
  for (const Standby& standby : standbys_) room += standby.memory_mb;
  return memory_mb <= room;
}

bool Standbys::Keep(const std::string& id, std::shared_ptr<vmm::Machine> machine, int64_t memory_mb,
                    Reservation& reservation) {
  (void)GiveBack(memory_mb - admission_.FreeSpareMb(reservation));
  if (!admission_.Change(reservation, {.memory_mb = memory_mb, .spare_mb = memory_mb})) {
    return false;
  }
  std::lock_guard lock(mutex_);
  if (stopped_) return false;
  standbys_.push_back({id, std::move(machine), memory_mb, std::move(reservation)});
  return true;
}

std::optional<Reservation> Standbys::Take(const std::string& id) {
  std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(standbys_, id, &Standby::id);
  if (found == standbys_.end()) return std::nullopt;
  Reservation reservation = std::move(found->reservation);
  standbys_.erase(found);
  return reservation;
}

int64_t Standbys::GiveBack(int64_t memory_mb) {
  int64_t given = 0;
  while (given < memory_mb) {
    Standby oldest;
    {
      std::lock_guard lock(mutex_);
      if (standbys_.empty()) break;
      oldest = std::move(standbys_.front());
      standbys_.pop_front();
    }
    // Its reservation goes behind that. One that cannot be ended its sandbox will try again to end.
    (void)oldest.machine->Kill(Deadline::After(kKillLimit));
    given += oldest.memory_mb;
  }
  return given;
}

void Standbys::Stop() {
  std::deque<Standby> all;
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    all.swap(standbys_);
  }
  // All at once, then the wait for each.
  for (const Standby& one : all) (void)one.machine->Kill(Deadline::After(Deadline::Duration(0)));
  for (const Standby& one : all) (void)one.machine->Kill(Deadline::After(kKillLimit));
}

int Standbys::count() const {
  std::lock_guard lock(mutex_);
  return static_cast<int>(standbys_.size());
}

}  // namespace wrenn::sandbox
