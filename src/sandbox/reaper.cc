#include "sandbox/reaper.h"

#include <algorithm>

#include "sandbox/source.h"

namespace wrenn::sandbox {
namespace {

using std::chrono::milliseconds;

// How soon an idle sandbox that could not be stopped is tried again.
constexpr milliseconds kRetry{1'000};
// Between looks for ended ones; those that end meanwhile are not older than their retention before.
constexpr milliseconds kMaxPruneInterval{std::chrono::hours(1)};
constexpr int kPruneBatch = 64;

}  // namespace

Reaper::Reaper(Services& services, Directory& directory)
    : services_(services),
      directory_(directory),
      room_(services, directory),
      timer_([this] { return Work(); }) {}

Deadline Reaper::Work() {
  const Deadline room = room_.Look();
  const Deadline records = Deadline::Earlier(Flush(), Prune());
  const Deadline standbys = Deadline::Earlier(room, EndStandbys());
  return Deadline::Earlier(standbys, Deadline::Earlier(ReapIdle(), records));
}

Deadline Reaper::ReapIdle() {
  Deadline next = Deadline::Never();
  for (const auto& sandbox : directory_.Live()) {
    const Deadline idle = sandbox->IdleDeadline();
    if (!idle.HasPassed()) {
      next = Deadline::Earlier(next, idle);
      continue;
    }
    // Asked again while it is on its way is harmless: it checks for itself.
    sandbox->executor().Post([sandbox] { sandbox->EndIfIdle(); });
    next = Deadline::Earlier(next, Deadline::After(kRetry));
  }
  return next;
}

Deadline Reaper::EndStandbys() {
  Deadline next = Deadline::Never();
  for (const auto& sandbox : directory_.Live()) {
    const Deadline over = sandbox->StandbyDeadline();
    if (!over.HasPassed()) {
      next = Deadline::Earlier(next, over);
      continue;
    }
    sandbox->executor().Post([sandbox] { sandbox->EndStandbyInTime(); });
    next = Deadline::Earlier(next, Deadline::After(kRetry));
  }
  return next;
}

void Reaper::StoreActivity() {
  std::vector<store::Activity> activities;
  for (const auto& sandbox : directory_.Live()) {
    if (const auto last = sandbox->TakeUnsavedActivity())
      activities.push_back({sandbox->id(), *last});
  }
  if (auto stored = services_.store.TouchSandboxes(activities); !stored) {
    services_.Tell(Severity::kWarning, "", "activity could not be stored",
                   {{"error", stored.error().ToString()}});
  }
}

Deadline Reaper::Flush() {
  const auto now = Clock::now();
  bool unsaved = false;
  for (const auto& sandbox : directory_.Live()) {
    unsaved |= sandbox->HasUnsavedActivity();
    if (!sandbox->IsUnsaved()) continue;
    unsaved = true;
    if (now >= next_flush_) sandbox->executor().Post([sandbox] { sandbox->Save(); });
  }
  if (!unsaved) return Deadline::Never();  // the first activity wakes
  if (now >= next_flush_) {
    StoreActivity();
    next_flush_ = now + services_.config.activity_interval;
  }
  return Deadline::At(next_flush_);
}

Deadline Reaper::Prune() {
  const auto now = Clock::now();
  const milliseconds retention = services_.config.ended_retention;
  if (now < next_prune_) return Deadline::At(next_prune_);
  next_prune_ = now + std::min(kMaxPruneInterval, std::max(retention, kRetry));
  auto ended =
      services_.store.ListEndedSandboxes(std::chrono::system_clock::now() - retention, kPruneBatch);
  if (!ended) {
    services_.Tell(Severity::kWarning, "", "ended sandboxes could not be listed",
                   {{"error", ended.error().ToString()}});
    return Deadline::At(next_prune_);
  }
  PruneWarm(services_);
  for (const store::SandboxRecord& record : *ended) {
    if (auto sandbox = directory_.FindAny(record.id)) {
      (*sandbox)->executor().Post([held = *sandbox] { (void)held->Destroy(); });
    }
  }
  // There may be more; those of this batch that could not be removed come again, so not at once.
  if (ended->size() == kPruneBatch) next_prune_ = now + kRetry;
  return Deadline::At(next_prune_);
}

}  // namespace wrenn::sandbox
