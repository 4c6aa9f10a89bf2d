// The service filesystem.Filesystem of the envd wire.
#pragma once

#include "guest/agent/rpc.h"
#include "guest/agent/settings.h"
#include "guest/files/watchers.h"

namespace wrenn::guest {

class FilesystemService {
 public:
  explicit FilesystemService(Settings& settings) : settings_(settings) {}

  // Serves `method`, e.g. "Stat". False when there is none of that name.
  bool Handle(wire::Exchange& exchange, std::string_view method);

  void Stop() { watchers_.Stop(); }

 private:
  // Who asks, and the path that is meant.
  struct Target {
    User user;
    std::string path;
  };
  Result<Target> TargetOf(const wire::Exchange& exchange, const json::object& request,
                          std::string_view field = "path");
  Result<std::unique_ptr<Watcher>> OpenWatcher(const wire::Exchange& exchange,
                                               const json::object& request);

  Result<json::object> Stat(wire::Exchange& exchange, const json::object& request);
  Result<json::object> MakeDir(wire::Exchange& exchange, const json::object& request);
  Result<json::object> Move(wire::Exchange& exchange, const json::object& request);
  Result<json::object> ListDir(wire::Exchange& exchange, const json::object& request);
  Result<json::object> Remove(wire::Exchange& exchange, const json::object& request);
  Result<json::object> CreateWatcher(wire::Exchange& exchange, const json::object& request);
  Result<json::object> GetWatcherEvents(wire::Exchange& exchange, const json::object& request);
  Result<json::object> RemoveWatcher(wire::Exchange& exchange, const json::object& request);
  Status WatchDir(wire::Exchange& exchange, const json::object& request);

  Settings& settings_;
  Watchers watchers_;
};

}  // namespace wrenn::guest
