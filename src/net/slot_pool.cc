#include "net/slot_pool.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

namespace wrenn::net {
namespace {

constexpr std::chrono::milliseconds kAfterFailure{1000};

int ReadIndex(int fd) {
  int index = 0;
  const ssize_t got = ::pread(fd, &index, sizeof index, 0);
  return got == sizeof index && index >= 0 && index < kMaxSlots ? index : 0;
}

}  // namespace

Result<std::unique_ptr<SlotPool>> SlotPool::Start(SlotPoolOptions options,
                                                  const std::vector<int>& adopt) {
  if (options.limit < 1 || options.limit > kMaxSlots / 2) {
    return Fail(Code::kInvalidArgument, "there can be 1 to {} network slots, not {}", kMaxSlots / 2,
                options.limit);
  }
  ASSIGN_OR_RETURN(auto host, SlotHost::Claim(options.folder, options.block));
  ASSIGN_OR_RETURN(auto dns, DnsForwarder::Start(options.resolv_conf));
  std::unique_ptr<SlotPool> pool(new SlotPool(std::move(options), std::move(host), std::move(dns)));
  RETURN_IF_ERROR(pool->Recover(adopt));
  pool->thread_ = std::thread([self = pool.get()] { self->Run(); });
  return pool;
}

SlotPool::SlotPool(SlotPoolOptions options, std::unique_ptr<SlotHost> host,
                   std::unique_ptr<DnsForwarder> dns)
    : options_(std::move(options)), host_(std::move(host)), dns_(std::move(dns)) {}

SlotPool::~SlotPool() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Status SlotPool::Recover(const std::vector<int>& adopt) {
  const std::string path = options_.folder + "/next";
  cursor_.Reset(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!cursor_) return Fail(ErrnoError("cannot open '" + path + "'"));
  next_ = ReadIndex(cursor_.get());

  ASSIGN_OR_RETURN(used_, host_->FindSlots());
  std::vector<SlotPlan> plans;
  for (const int index : used_) {
    if (std::ranges::find(adopt, index) == adopt.end()) {
      to_remove_.push_back({index, {}, false});
    } else {
      to_adopt_.insert(index);
      plans.push_back(host_->Plan(index));
    }
  }
  return host_->SetUp(plans);
}

Result<Slot> SlotPool::Claim(const NetworkPolicy& policy) {
  std::optional<Slot> slot = TakeReady();
  while (slot) {
    const Status whole = slot->Check();
    if (whole) break;
    options_.on_error(whole.error());
    Release(std::move(*slot));
    slot = TakeReady();
  }
  if (!slot) {
    std::unique_lock lock(mutex_);
    ASSIGN_OR_RETURN(const int index, TakeIndex());
    lock.unlock();
    ASSIGN_OR_RETURN(slot, Make(index));
  }
  if (const Status set = slot->SetPolicy(policy); !set) {
    Release(std::move(*slot));
    return Fail(set.error());
  }
  return std::move(*slot);
}

std::optional<Slot> SlotPool::TakeReady() {
  std::optional<Slot> slot;
  {
    std::lock_guard lock(mutex_);
    if (ready_.empty()) return slot;
    slot = std::move(ready_.front());
    ready_.pop_front();
  }
  changed_.notify_all();
  return slot;
}

Result<Slot> SlotPool::Adopt(int index) {
  {
    std::lock_guard lock(mutex_);
    if (to_adopt_.erase(index) == 0) {
      return Fail(Code::kNotFound, "there is nothing of the network slot {}", index);
    }
  }
  return Serve(Slot::Open(*host_, host_->Plan(index)), index);
}

void SlotPool::Release(Slot slot) {
  const int index = slot.plan().index;
  dns_->Remove(index);
  QueueRemoval(index, std::move(slot));
}

void SlotPool::QueueRemoval(int index, std::optional<Slot> slot) {
  {
    std::lock_guard lock(mutex_);
    to_remove_.push_back({index, std::move(slot), false});
  }
  changed_.notify_all();
}

Result<os::LinkCounters> SlotPool::Counters(const Slot& slot) const {
  ASSIGN_OR_RETURN(os::Links links, os::Links::Open());
  return links.Counters(slot.plan().name);
}

bool SlotPool::WaitIdle(Deadline deadline) {
  std::unique_lock lock(mutex_);
  const auto idle = [this] { return !working_ && to_remove_.empty() && !WantsSlot(); };
  return changed_.wait_until(lock, deadline.when(), idle);
}

// The lock is held in these.
bool SlotPool::WantsSlot() const {
  return !stopped_ && ready_.size() < static_cast<size_t>(options_.ready) &&
         used_.size() < static_cast<size_t>(options_.limit);
}

bool SlotPool::HasWork() const { return WantsSlot() || !to_remove_.empty(); }

void SlotPool::Run() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    if (!HasWork()) {
      changed_.wait(lock);
      continue;
    }
    if (!not_before_.HasPassed()) {
      changed_.wait_until(lock, not_before_.when());
      continue;
    }
    working_ = true;
    // Claims wait for the one, nobody for the other.
    if (WantsSlot()) {
      MakeOne(lock);
    } else {
      RemoveSome(lock);
    }
    working_ = false;
    changed_.notify_all();
  }
  for (Slot& slot : ready_) {
    const int index = slot.plan().index;
    dns_->Remove(index);
    to_remove_.push_back({index, std::move(slot), false});
  }
  ready_.clear();
  // What cannot be removed now is found by the next Start().
  while (!to_remove_.empty() && !to_remove_.front().alone) RemoveSome(lock);
}

void SlotPool::MakeOne(std::unique_lock<std::mutex>& lock) {
  auto index = TakeIndex();
  lock.unlock();
  auto slot = index ? Make(*index) : Result<Slot>(Fail(index.error()));
  if (!slot) options_.on_error(slot.error());
  lock.lock();
  if (slot) {
    ready_.push_back(std::move(*slot));
  } else {
    not_before_ = Deadline::After(kAfterFailure);
  }
}

void SlotPool::RemoveSome(std::unique_lock<std::mutex>& lock) {
  constexpr size_t kAtOnce = 64;
  std::deque<Removal> removals;
  std::vector<SlotPlan> plans;
  do {
    plans.push_back(host_->Plan(to_remove_.front().index));
    removals.push_back(std::move(to_remove_.front()));
    to_remove_.pop_front();
  } while (!removals.back().alone && plans.size() < kAtOnce && !to_remove_.empty() &&
           !to_remove_.front().alone);
  lock.unlock();
  for (Removal& removal : removals) removal.slot.reset();
  const Status removed = Slot::Remove(*host_, plans);
  if (!removed) options_.on_error(removed.error());
  lock.lock();
  if (!removed) not_before_ = Deadline::After(kAfterFailure);
  for (const Removal& removal : removals) {
    if (!removed) {
      to_remove_.push_back({removal.index, {}, true});
      continue;
    }
    used_.erase(removal.index);
    resting_.insert(removal.index);
    rests_.emplace_back(removal.index, Deadline::After(options_.rest));
  }
}

// The lock is held. In turn, so that each rests as long as can be.
Result<int> SlotPool::TakeIndex() {
  while (!rests_.empty() && rests_.front().second.HasPassed()) {
    resting_.erase(rests_.front().first);
    rests_.pop_front();
  }
  if (used_.size() >= static_cast<size_t>(options_.limit)) {
    return Fail(Code::kResourceExhausted, "all {} network slots of this machine are in use",
                options_.limit);
  }
  for (int tries = 0; tries < kMaxSlots; ++tries) {
    const int index = next_;
    next_ = (next_ + 1) % kMaxSlots;
    if (used_.contains(index) || resting_.contains(index)) continue;
    if (::pwrite(cursor_.get(), &next_, sizeof next_, 0) != sizeof next_) {
      return Fail(ErrnoError("cannot note the next network slot"));
    }
    used_.insert(index);
    return index;
  }
  return Fail(Code::kResourceExhausted, "all network slots are in use or rest: try again later");
}

Result<Slot> SlotPool::Make(int index) {
  return Serve(Slot::Make(*host_, host_->Plan(index)), index);
}

// Gives it its name server; on failure what may be there of it goes.
Result<Slot> SlotPool::Serve(Result<Slot> slot, int index) {
  if (slot) {
    const Status served = dns_->Add(index, slot->net_namespace());
    if (served) return slot;
    slot = Fail(served.error());
  }
  QueueRemoval(index, {});
  return slot;
}

}  // namespace wrenn::net
