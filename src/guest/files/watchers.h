// Watchers: folders watched between calls, for clients that ask now and then.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "guest/files/watcher.h"

namespace wrenn::guest {

// Thread-safe.
class Watchers {
 public:
  Watchers() = default;
  ~Watchers() { Stop(); }

  // Watches from now on; answers the id. kResourceExhausted when there are too many.
  Result<std::string> Create(std::unique_ptr<Watcher> watcher);
  // What has happened since the last call. An error of the watcher is told again and again.
  Result<std::vector<wire::FileEvent>> Take(const std::string& id);
  Status Remove(const std::string& id);
  void Stop();

 private:
  struct Entry;
  static void Run(Entry& entry);

  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Entry>> entries_;
};

}  // namespace wrenn::guest
