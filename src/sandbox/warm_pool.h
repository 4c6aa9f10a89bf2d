// WarmPool: machines of a template that have been restored, have answered once, and stand still: to
// hand one out takes a millisecond.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "sandbox/restore.h"

namespace wrenn::sandbox {

// A machine of the pool, with the id of the sandbox that it will be. Ends with its files at the end
// of its life, unless `restored` has been taken out of it.
struct ReadyMachine {
  ReadyMachine(std::string name, SandboxFiles place, HostResources& host, Reservation part)
      : id(std::move(name)),
        files(std::move(place)),
        share(host, id),
        reservation(std::move(part)) {}
  ~ReadyMachine();

  const std::string id;
  SandboxFiles files;
  HostShare share;
  Restored restored;
  Reservation reservation;
};

// What the pool has to know of a sandbox that starts from a snapshot.
struct PoolShape {
  std::string template_name;
  Source source;  // with a snapshot that stays where it is
  int vcpus = 0;
  int memory_mb = 0;
  int disk_mb = 0;
  bool egress = false;
  // Of a template as it is, that a number of its own in WarmPoolConfig is meant for.
  bool plain = false;
};

// Thread-safe. The machines are no sandboxes yet: they have no record, and what a killed server
// leaves of them is removed as any folder without one.
class WarmPool {
 public:
  // How many are kept ready of a template: as many as were taken in the last minute, within the
  // limit; none after ten minutes without one. A template with a number of its own always has that
  // many of its plain shape.
  explicit WarmPool(Services& services);
  ~WarmPool() { Stop(); }

  // Has it keep machines of this, though nobody has asked for one yet.
  void Add(const PoolShape& shape);
  // One that is ready, or null, which is counted. Either way there will be more from now on.
  std::unique_ptr<ReadyMachine> Take(const PoolShape& shape);
  // Ends machines until this much memory has been given back, the least wanted first; answers how
  // much has been.
  int64_t GiveBack(int64_t memory_mb);
  // Ends all, and makes no more.
  void Stop();

  // How many are ready of each template.
  std::map<std::string, int> sizes() const;

 private:
  using Clock = Deadline::Clock;

  struct Shelf {
    PoolShape shape;
    std::deque<std::unique_ptr<ReadyMachine>> ready;
    std::deque<Clock::time_point> taken;  // when, within the last minute
    Clock::time_point last_taken;
    Clock::time_point not_before;  // that the next one is made
  };

  void Run();
  // The shelf of this shape; the lock is held, as for all of these.
  Shelf& PutShape(const PoolShape& shape);
  // What is to be made next. If there is nothing now, `when` is set to when to look again.
  Shelf* FindNeed(Clock::time_point& when);
  // What has a machine to give back.
  Shelf* FindLeastWanted();
  int Wanted(const Shelf& shelf) const;
  void DropSurplus(std::unique_lock<std::mutex>& lock);
  Result<std::unique_ptr<ReadyMachine>> Make(const PoolShape& shape);
  Status WarmUp(ReadyMachine& machine, const PoolShape& shape);

  Services& services_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Shelf> shelves_;  // by the snapshot's folder
  bool making_ = false;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace wrenn::sandbox
