// SandboxFiles: what one sandbox has on the host's file systems.
//
//   <root>/sandboxes/<id>/   0700   machine.json, disk-*, console.log, vmm.log
//   <runtime>/sb/<id>/       0700   sockets
#pragma once

#include <memory>
#include <string>

#include "base/json.h"
#include "base/result.h"
#include "disk/backend.h"
#include "os/paths.h"

namespace wrenn::sandbox {

// Handles what belongs to an id; the files outlive the object, since a sandbox outlives the server.
// All removals are harmless when there is nothing.
class SandboxFiles {
 public:
  // `backend` may be null where no disk is made.
  SandboxFiles(const os::Paths& paths, const std::string& id,
               std::unique_ptr<disk::Backend> backend);

  const std::string& folder() const { return folder_; }
  const std::string& runtime() const { return runtime_; }

  // Makes both folders.
  Status MakeFolders();
  Result<disk::Layer> MakeDisk(const std::string& base, uint64_t size_bytes);
  // What MakeDisk() made, found by its name. kNotFound when there is none.
  Result<disk::Layer> Disk() const;

  // machine.json: what of the host's this sandbox uses, for a server that has lost its record.
  Status WriteMachine(const json::object& machine);
  // An empty object when there is none.
  Result<json::object> ReadMachine() const;

  // The last `limit` bytes that the guest wrote to its console; "" when there are none.
  Result<std::string> ConsoleTail(size_t limit) const;

  // Removes sockets and disk; the console stays.
  Status RemoveAllButLogs();
  Status RemoveAll();

 private:
  std::string folder_;
  std::string runtime_;
  std::unique_ptr<disk::Backend> backend_;
};

}  // namespace wrenn::sandbox
