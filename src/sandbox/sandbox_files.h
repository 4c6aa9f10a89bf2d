// SandboxFiles: what one sandbox has on the host's file systems.
//
//   <root>/sandboxes/<id>/   0700   machine.json, console.log, vmm.log
//                                   disk-*        its disk's layers
//                                   memory.empty  what a booted machine's RAM maps
//                                   memory.map, memory-*   what a restored one's maps
//   <runtime>/sb/<id>/       0700   sockets
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/json.h"
#include "base/result.h"
#include "disk/backend.h"
#include "disk/layers.h"
#include "memory/image.h"
#include "os/paths.h"
#include "snapshot/manifest.h"

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

  // For a machine that boots: a disk over `base`, and memory that is all zeros.
  Result<disk::Layers> MakeDisk(const std::string& base, uint64_t size_bytes);
  Status MakeMemory(int memory_mb);
  // The disk of a snapshot, linked into this folder, with a layer of its own on top. A file of
  // changes is copied instead, where there can be a device of it (`devices`); else it becomes a
  // whole disk below that layer. 0: as large. kDataLoss when its layers are not a chain over its
  // image: a VMM wrote them, and may have been made to write anything.
  Result<disk::Layers> TakeDisk(const std::string& snapshot, const snapshot::Manifest& manifest,
                                uint64_t size_bytes, bool devices);
  // The memory of a snapshot, linked likewise.
  Result<memory::Image> TakeMemory(const std::string& snapshot);

  // The file that the machine's RAM maps; "" when there is none.
  std::string MemoryBase() const;
  // Notes that RAM was this at some time since the machine was started on MemoryBase(); the files
  // are linked from `from`. What is taken of the machine next is compared with it.
  Status KeepMemory(const memory::Image& image, const std::string& from);
  // What RAM was when the machine was started, or later: see KeepMemory().
  Result<memory::Image> MemoryImage() const { return memory::Load(folder_); }
  // The snapshot that has this image (snapshot::Manifest::parent); "" when there is none.
  Status NoteParent(const std::string& snapshot_id);
  std::string Parent() const;

  // machine.json: what of the host's this sandbox uses, for a server that has lost its record.
  Status WriteMachine(const json::object& machine);
  // An empty object when there is none.
  Result<json::object> ReadMachine() const;

  // The last `limit` bytes that the guest wrote to its console; "" when there are none.
  Result<std::string> ConsoleTail(size_t limit) const;

  // Removes sockets, disk and memory; the console stays.
  Status RemoveAllButLogs();
  Status RemoveAll();

 private:
  os::Paths paths_;
  std::string folder_;
  std::string runtime_;
  std::unique_ptr<disk::Backend> backend_;
};

// Digests of layers by their names (snapshot::Manifest::layer_digests).
using LayerDigests = std::map<std::string, std::string>;

// A disk in a record: {"layers":[names, top first],"digests":{name:digest}}, with the digests of
// those layers that have one.
json::object DiskJson(const disk::Layers& layers, const LayerDigests& digests = {});
// kDataLoss for what is none.
Result<disk::Layers> ParseDisk(const json::object& disk);
// None for what is none.
LayerDigests DigestsIn(const json::object& disk);

}  // namespace wrenn::sandbox
