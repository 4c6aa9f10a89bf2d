// Reaper: ends idle sandboxes and standbys whose time is over, stores activity, prunes what ended
// long ago, looks for room on the disk. All by deadlines on one thread, which only looks and posts:
// the work itself runs on the sandboxes' executors.
#pragma once

#include <map>
#include <string>

#include "sandbox/directory.h"
#include "sandbox/room_watch.h"
#include "sandbox/timer_thread.h"

namespace wrenn::sandbox {

class Reaper {
 public:
  Reaper(Services& services, Directory& directory);

  // To be called once all sandboxes are in the directory.
  void Start() { timer_.Start(); }
  void Wake() { timer_.Wake(); }
  void Stop() { timer_.Stop(); }

  // Stores the activity that is only in memory yet.
  void StoreActivity();

 private:
  using Clock = Deadline::Clock;

  Deadline Work();
  Deadline ReapIdle();
  Deadline EndStandbys();
  Deadline Flush();
  Deadline Prune();

  Services& services_;
  Directory& directory_;
  Clock::time_point next_flush_ = Clock::now();
  Clock::time_point next_prune_ = Clock::now();
  RoomWatch room_;
  TimerThread timer_;  // last: it uses the rest
};

}  // namespace wrenn::sandbox
