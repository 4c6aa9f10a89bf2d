// Watcher: what happens in a folder, by inotify(7).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "guest/users.h"
#include "wire/agent_api.h"

struct inotify_event;

namespace wrenn::guest {

// Not thread-safe.
class Watcher {
 public:
  struct Options {
    bool recursive = false;
    bool include_entry = false;         // with created, written and changed files
    bool allow_network_mounts = false;  // where the changes of others are not seen
  };

  // What one Read() answers at most, and what is kept for a client that does not ask.
  static constexpr size_t kMaxEvents = 16384;

  // kNotFound for a missing path, kInvalidArgument for a file or a network mount.
  static Result<std::unique_ptr<Watcher>> Open(const std::string& path, const Options& options);

  // Readable when something has happened.
  int fd() const { return inotify_.get(); }

  // What has happened, maybe nothing. Names are relative to the folder. In a recursive watch the
  // content of a new folder is reported as created, since it may be older than our watch on it.
  // kResourceExhausted when events were lost, or there are more than kMaxEvents: the caller must
  // look at the folder and watch anew.
  Result<std::vector<wire::FileEvent>> Read();

 private:
  struct Folder {
    std::string name;            // relative; empty for the watched one
    std::set<std::string> seen;  // reported before their events came
  };

  Watcher(UniqueFd inotify, std::string root, const Options& options)
      : inotify_(std::move(inotify)), root_(std::move(root)), options_(options) {}

  // Watches a folder and, if recursive, those below. With `events`, reports what is in it.
  Status Add(const std::string& name, std::vector<wire::FileEvent>* events);
  Status AddContent(int watch, std::vector<wire::FileEvent>* events);
  void Forget(const std::string& name);
  Status Handle(const inotify_event& event, std::vector<wire::FileEvent>& events);
  // Whether the event is one of an upload's.
  Result<bool> HandleUpload(const inotify_event& event, const std::string& folder,
                            std::vector<wire::FileEvent>& events);
  Status Report(std::string name, wire::FileEventType type, std::vector<wire::FileEvent>& events);
  std::string PathOf(const std::string& name) const;

  UniqueFd inotify_;
  const std::string root_;
  const Options options_;
  std::map<int, Folder> folders_;     // by watch descriptor
  std::map<uint32_t, bool> uploads_;  // by a rename's cookie: whether the file is new
  std::optional<OwnerNames> owners_;  // for one Read()
};

}  // namespace wrenn::guest
