#include "guest/files/watchers.h"

#include <poll.h>

#include "base/id.h"
#include "base/io.h"

namespace wrenn::guest {
namespace {

constexpr size_t kMaxWatchers = 256;

}  // namespace

// Collects on a thread of its own: new folders must be watched when they come, not when one asks.
struct Watchers::Entry {
  std::unique_ptr<Watcher> watcher;
  UniqueFd stop;
  std::thread thread;
  std::mutex mutex;
  std::vector<wire::FileEvent> events;
  std::optional<Error> error;

  ~Entry() {
    SignalEventFd(stop.get());
    if (thread.joinable()) thread.join();
  }
};

void Watchers::Run(Entry& entry) {
  pollfd entries[] = {{entry.watcher->fd(), POLLIN, 0}, {entry.stop.get(), POLLIN, 0}};
  for (;;) {
    ::poll(entries, 2, -1);
    if (entries[1].revents) return;
    auto events = entry.watcher->Read();
    std::lock_guard lock(entry.mutex);
    if (events && entry.events.size() + events->size() > Watcher::kMaxEvents) {
      events = Fail(Code::kResourceExhausted,
                    "more happened than could be kept: list the folder and watch it anew");
    }
    if (!events) {
      entry.error = std::move(events.error());
      entry.events.clear();
      return;
    }
    std::move(events->begin(), events->end(), std::back_inserter(entry.events));
  }
}

Result<std::string> Watchers::Create(std::unique_ptr<Watcher> watcher) {
  auto entry = std::make_shared<Entry>();
  entry->watcher = std::move(watcher);
  ASSIGN_OR_RETURN(entry->stop, MakeEventFd());
  std::lock_guard lock(mutex_);
  if (entries_.size() >= kMaxWatchers) {
    return Fail(Code::kResourceExhausted, "more than {} watchers: remove some", kMaxWatchers);
  }
  const std::string id = NewId("w");
  entry->thread = std::thread([raw = entry.get()] { Run(*raw); });
  entries_.emplace(id, std::move(entry));
  return id;
}

Result<std::vector<wire::FileEvent>> Watchers::Take(const std::string& id) {
  std::shared_ptr<Entry> entry;
  {
    std::lock_guard lock(mutex_);
    const auto found = entries_.find(id);
    if (found == entries_.end()) return Fail(Code::kNotFound, "watcher with id '{}' not found", id);
    entry = found->second;
  }
  std::lock_guard lock(entry->mutex);
  if (entry->error) return Fail(*entry->error);
  return std::exchange(entry->events, {});
}

Status Watchers::Remove(const std::string& id) {
  std::lock_guard lock(mutex_);
  if (entries_.erase(id) == 0) return Fail(Code::kNotFound, "watcher with id '{}' not found", id);
  return {};
}

void Watchers::Stop() {
  std::lock_guard lock(mutex_);
  entries_.clear();
}

}  // namespace wrenn::guest
