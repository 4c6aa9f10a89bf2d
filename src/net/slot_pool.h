// SlotPool: this host's network slots. Made ahead of their use, removed after it, both in the
// background.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "net/dns_forwarder.h"
#include "net/slot.h"
#include "net/slot_host.h"

namespace wrenn::net {

struct SlotPoolOptions {
  std::string folder;  // where namespaces are mounted; made when it is not there
  os::IpAddress block = DefaultBlock();
  int ready = 4;     // slots that are kept for claims
  int limit = 1000;  // slots at a time
  // How long a slot's addresses are nobody's after its removal, so that nothing that still knows
  // the one before, as connection tracking may, takes the next one for it.
  Deadline::Duration rest = std::chrono::minutes(1);
  std::string resolv_conf = "/etc/resolv.conf";
  // Gets what went wrong in the background, where it is tried again, and from any thread that
  // claims a slot which is not whole any more.
  std::function<void(const Error&)> on_error = [](const Error&) {};
};

// Thread-safe.
class SlotPool {
 public:
  // Takes the host (SlotHost). Slots of `adopt` that are still there stay, with all they carry, and
  // are given out by Adopt(); everything else with our mark, whole or in part, is removed in the
  // background. To be called in the network namespace that the process stays in.
  static Result<std::unique_ptr<SlotPool>> Start(SlotPoolOptions options,
                                                 const std::vector<int>& adopt);
  // Removes the slots that nobody has claimed. The others stay, and are found by the next Start().
  ~SlotPool();

  // A slot with this policy. One that is ready takes a fraction of a millisecond; otherwise it is
  // made now. One that somebody has broken meanwhile is removed, and told by on_error.
  // kResourceExhausted at the limit.
  Result<Slot> Claim(const NetworkPolicy& policy);
  // One of those that were to be adopted, once. On failure what is there of it is removed.
  Result<Slot> Adopt(int index);
  // Gives a slot back; the VM in it has ended. It is removed in the background.
  void Release(Slot slot);

  // Bytes and packets that a slot's device has carried: received is what the sandbox has sent.
  Result<os::LinkCounters> Counters(const Slot& slot) const;

  // Waits until there is nothing to do in the background; false when the deadline passed first.
  bool WaitIdle(Deadline deadline);

 private:
  SlotPool(SlotPoolOptions options, std::unique_ptr<SlotHost> host,
           std::unique_ptr<DnsForwarder> dns);
  Status Recover(const std::vector<int>& adopt);
  void Run();
  std::optional<Slot> TakeReady();
  bool WantsSlot() const;
  bool HasWork() const;
  void MakeOne(std::unique_lock<std::mutex>& lock);
  void RemoveSome(std::unique_lock<std::mutex>& lock);
  Result<int> TakeIndex();
  Result<Slot> Make(int index);
  Result<Slot> Serve(Result<Slot> slot, int index);
  void QueueRemoval(int index, std::optional<Slot> slot);

  const SlotPoolOptions options_;
  const std::unique_ptr<SlotHost> host_;
  const std::unique_ptr<DnsForwarder> dns_;
  UniqueFd cursor_;  // a file with the index to try next, so that a restart does not reuse the last

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Slot> ready_;
  std::set<int> used_;  // all of which something may be there
  std::set<int> to_adopt_;
  // With its descriptors, where we have them.
  struct Removal {
    int index;
    std::optional<Slot> slot;
    bool alone = false;  // after a failure: so that one does not hold up all
  };
  std::deque<Removal> to_remove_;
  std::set<int> resting_;
  std::deque<std::pair<int, Deadline>> rests_;  // the same, in the order of their ends
  int next_ = 0;
  bool working_ = false;
  Deadline not_before_ = Deadline::After({});  // after a failure
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace wrenn::net
