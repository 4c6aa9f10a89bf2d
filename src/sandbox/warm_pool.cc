#include "sandbox/warm_pool.h"

#include <algorithm>

#include "base/id.h"
#include "os/files.h"
#include "sandbox/exercise.h"
#include "sandbox/text.h"

namespace wrenn::sandbox {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

// Demand that is looked at, and how long one machine is kept without any.
constexpr minutes kDemandWindow{1};
constexpr minutes kKeptFor{10};
constexpr seconds kRetry{10};
// Until the first commands of one that was taken are done: to make another takes all of a CPU, and
// they come first.
constexpr std::chrono::milliseconds kAfterTake{250};
constexpr seconds kMakeLimit{60};
constexpr seconds kKillLimit{10};
// What the first round makes in the guest the next ones find there, as the sandbox will: so they
// run other code.
constexpr int kRounds = 3;

}  // namespace

// What cannot be removed now has no record and is found by the next start.
ReadyMachine::~ReadyMachine() {
  if (!restored.machine) return;
  if (restored.agent) restored.agent->channel().Close();
  if (!restored.machine->Kill(Deadline::After(kKillLimit)) || !share.Release({})) return;
  (void)files.RemoveAll();
}

WarmPool::WarmPool(Services& services) : services_(services), thread_([this] { Run(); }) {}

std::unique_ptr<ReadyMachine> WarmPool::Take(const PoolShape& shape) {
  std::unique_ptr<ReadyMachine> found;
  std::vector<std::unique_ptr<ReadyMachine>> ended;
  {
    std::lock_guard lock(mutex_);
    if (stopped_) return nullptr;
    Shelf& shelf = PutShape(shape);
    shelf.last_taken = Clock::now();
    // The first of many that are taken sets it, or they would put it off for ever.
    if (shelf.not_before < shelf.last_taken) shelf.not_before = shelf.last_taken + kAfterTake;
    shelf.taken.push_back(shelf.last_taken);
    while (!found && !shelf.ready.empty()) {
      auto next = std::move(shelf.ready.front());
      shelf.ready.pop_front();
      (next->restored.machine->exit() ? ended.emplace_back() : found) = std::move(next);
    }
    if (!found && Wanted(shelf) > 0) services_.metrics.CountPoolMiss(shape.template_name);
  }
  changed_.notify_all();
  if (found) found->reservation.Release();  // the sandbox has its own
  return found;
}

void WarmPool::Add(const PoolShape& shape) {
  {
    std::lock_guard lock(mutex_);
    PutShape(shape);
  }
  changed_.notify_all();
}

// A template's own number of machines is not lost to a sandbox of the same shape that spelled it
// out.
WarmPool::Shelf& WarmPool::PutShape(const PoolShape& shape) {
  Shelf& shelf = shelves_[shape.source.snapshot];
  const bool plain = shelf.shape.plain || shape.plain;
  shelf.shape = shape;
  shelf.shape.plain = plain;
  return shelf;
}

int64_t WarmPool::GiveBack(int64_t memory_mb) {
  int64_t given = 0;
  while (given < memory_mb) {
    std::unique_ptr<ReadyMachine> victim;
    {
      std::unique_lock lock(mutex_);
      // None is made now, or the two would take turns; one that is being made can be had soon.
      for (auto& [place, shelf] : shelves_) shelf.not_before = Clock::now() + kRetry;
      Shelf* least = FindLeastWanted();
      if (!least) {
        changed_.wait(lock, [this] { return !making_ || stopped_; });
        least = FindLeastWanted();
      }
      if (!least) break;
      victim = std::move(least->ready.front());
      least->ready.pop_front();
      given += least->shape.memory_mb;
    }
    // It ends here.
  }
  return given;
}

void WarmPool::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  shelves_.clear();
}

std::map<std::string, int> WarmPool::sizes() const {
  std::lock_guard lock(mutex_);
  std::map<std::string, int> sizes;
  for (const auto& [place, shelf] : shelves_) {
    sizes[shelf.shape.template_name] += static_cast<int>(shelf.ready.size());
  }
  return sizes;
}

int WarmPool::Wanted(const Shelf& shelf) const {
  const auto& fixed = services_.config.warm_pool.fixed;
  const auto own = fixed.find(shelf.shape.template_name);
  if (own != fixed.end() && (shelf.shape.plain || own->second == 0)) return own->second;
  const auto now = Clock::now();
  if (now - shelf.last_taken > kKeptFor) return 0;
  const auto recent = std::ranges::count_if(
      shelf.taken, [&](Clock::time_point when) { return now - when < kDemandWindow; });
  return std::min(services_.config.warm_pool.most, std::max(1, static_cast<int>(recent)));
}

WarmPool::Shelf* WarmPool::FindNeed(Clock::time_point& when) {
  const auto now = Clock::now();
  when = now + kRetry;
  Shelf* need = nullptr;
  for (auto& [place, shelf] : shelves_) {
    if (static_cast<int>(shelf.ready.size()) >= Wanted(shelf)) continue;
    when = std::min(when, shelf.not_before);
    if (shelf.not_before > now) continue;
    if (!need || shelf.ready.size() < need->ready.size()) need = &shelf;
  }
  return need;
}

WarmPool::Shelf* WarmPool::FindLeastWanted() {
  Shelf* least = nullptr;
  for (auto& [place, shelf] : shelves_) {
    if (shelf.ready.empty()) continue;
    if (!least || shelf.last_taken < least->last_taken) least = &shelf;
  }
  return least;
}

// What is no longer wanted, has ended, or was made of a snapshot that is gone.
void WarmPool::DropSurplus(std::unique_lock<std::mutex>& lock) {
  std::vector<std::unique_ptr<ReadyMachine>> surplus;
  const auto now = Clock::now();
  for (auto it = shelves_.begin(); it != shelves_.end();) {
    Shelf& shelf = it->second;
    while (!shelf.taken.empty() && now - shelf.taken.front() > kDemandWindow) {
      shelf.taken.pop_front();
    }
    const int wanted = os::Exists(it->first) ? Wanted(shelf) : 0;
    std::erase_if(shelf.ready, [&](std::unique_ptr<ReadyMachine>& machine) {
      if (!machine->restored.machine->exit()) return false;
      surplus.push_back(std::move(machine));
      return true;
    });
    while (static_cast<int>(shelf.ready.size()) > wanted) {
      surplus.push_back(std::move(shelf.ready.back()));
      shelf.ready.pop_back();
    }
    it = wanted == 0 ? shelves_.erase(it) : std::next(it);
  }
  if (surplus.empty()) return;
  lock.unlock();
  surplus.clear();
  lock.lock();
}

void WarmPool::Run() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    DropSurplus(lock);
    Clock::time_point when;
    Shelf* need = stopped_ ? nullptr : FindNeed(when);
    if (!need) {
      if (!stopped_) changed_.wait_until(lock, when);
      continue;
    }
    const PoolShape shape = need->shape;
    making_ = true;
    lock.unlock();
    auto made = Make(shape);
    lock.lock();
    making_ = false;
    const auto shelf = shelves_.find(shape.source.snapshot);
    if (made && shelf != shelves_.end() && !stopped_) {
      shelf->second.ready.push_back(std::move(*made));
    } else if (made) {
      lock.unlock();
      made->reset();
      lock.lock();
    } else if (shelf != shelves_.end()) {
      shelf->second.not_before = Clock::now() + kRetry;
    }
    changed_.notify_all();
  }
}

Result<std::unique_ptr<ReadyMachine>> WarmPool::Make(const PoolShape& shape) {
  // What sandboxes will be made of goes before what may be resumed.
  (void)services_.standbys.GiveBack(shape.memory_mb - services_.admission.FreeSpareMb());
  ASSIGN_OR_RETURN(
      Reservation reservation,
      services_.admission.Reserve({0, 0, shape.memory_mb, shape.disk_mb, shape.memory_mb}));
  const std::string id = NewId("sb");
  auto machine =
      std::make_unique<ReadyMachine>(id, SandboxFiles(services_.config.paths, id, nullptr),
                                     services_.host, std::move(reservation));
  Status warm = WarmUp(*machine, shape);
  if (warm) return machine;
  if (!machine->restored.machine && machine->share.Release({})) (void)machine->files.RemoveAll();
  services_.Tell(
      Severity::kWarning, "", "no warm machine could be made",
      {{"template", shape.template_name}, {"error", CleanTail(warm.error().ToString())}});
  return Fail(std::move(warm.error()));
}

Status WarmPool::WarmUp(ReadyMachine& machine, const PoolShape& shape) {
  RETURN_IF_ERROR(machine.files.MakeFolders());
  vmm::MachineConfig config;
  config.id = machine.id;
  config.directory = machine.files.folder();
  config.runtime_directory = machine.files.runtime();
  config.vcpus = shape.vcpus;
  config.memory_mb = shape.memory_mb;
  config.network = shape.egress;
  store::SandboxRecord known;  // all that there is of one
  known.id = machine.id;
  Phases phases([&](std::string_view phase, std::chrono::duration<double> time) {
    services_.metrics.Observe("pool", phase, time.count());
    const auto& on_step = services_.config.on_step;
    if (on_step) on_step(fmt::format("pool.{}", phase), known);
  });
  const Deadline deadline = Deadline::After(kMakeLimit);
  ASSIGN_OR_RETURN(machine.restored, RestoreMachine(services_, machine.files, machine.share, config,
                                                    {}, shape.source, deadline, phases));
  vmm::Machine& vmm = *machine.restored.machine;
  known.machine = vmm.Record();
  machine.share.Note(known.machine);
  RETURN_IF_ERROR(machine.files.WriteMachine(known.machine));
  machine.restored.agent =
      std::make_shared<agent::Client>(vmm.channel(), shape.source.manifest->agent_token);
  for (int round = 0; round < kRounds; ++round) {
    RETURN_IF_ERROR(vmm.Continue(deadline));
    RETURN_IF_ERROR(ExerciseAgent(*machine.restored.agent, machine.id, RandomHex(64), deadline));
    RETURN_IF_ERROR(vmm.Freeze(deadline));
  }
  phases.Mark("exercise");
  (void)phases.Finish();
  return {};
}

}  // namespace wrenn::sandbox
