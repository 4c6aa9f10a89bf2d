// Dm-snapshots: disks that are a file of changes (cow_file.h), as block devices.
//
//   /dev/mapper/wrenn-<id>          what the VMM opens
//        |            |
//   loop device    loop device      over the file of changes: this disk's own, written past the
//   page over the       over disk-*.cow  cache, since the device above has one base image
//   (read-only, shared: LoopRegistry)
//
// They are taken down from above: the VMM ends, then the device goes, then the loop devices. The
// kernel keeps what is in use: it refuses to remove the device while somebody has it open, and a
// loop device is detached by its last user only.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "disk/dm_table.h"
#include "disk/loop_registry.h"
#include "os/device_mapper.h"
#include "os/loop_device.h"

namespace wrenn::disk {

class DmSnapshots;

// One attached disk. Like the machine on it, the device lives on when the object (or the whole
// server) goes away, and can be adopted; Remove() is what ends it. Changed by one owner at a time.
class DmSnapshot {
 public:
  // "/dev/mapper/wrenn-<id>", and its numbers, for a node elsewhere.
  const std::string& path() const { return path_; }
  dev_t device() const { return device_; }

  // What the kernel says of it. A file of changes has room for everything, so only the file system
  // under it can be full. The kernel gives no warning: the first write that fails there ends the
  // disk. So whoever has disks looks at os::FreeDiskBytes(), and calls Hold() in time.
  Result<SnapshotState> State() const;

  // Holds the VMM's I/O, with all that came before in the file of changes (not synced), so that it
  // can be copied; and goes on. A VMM cannot be killed while its I/O is held.
  Status Suspend();
  // The same, with nothing written out that has not yet reached the device: for want of room.
  Status Hold();
  Status Resume();

  // Takes it down and keeps the file of changes, which is not synced. The VMM must have ended; what
  // it leaves to the kernel to close is waited for. kDeadlineExceeded when something is still in
  // use; then it can be tried again. `on_gone` is called when the "device" has gone, and then the
  // "loops" below it.
  using OnGone = std::function<void(std::string_view what)>;
  Status Remove(Deadline deadline, const OnGone& on_gone = {});

 private:
  friend class DmSnapshots;
  DmSnapshot(const DmSnapshots* owner, std::string name, dev_t device, os::LoopDevice changes,
             LoopRegistry::Lease origin);

  const DmSnapshots* owner_;
  std::string name_;
  std::string path_;
  dev_t device_;
  os::LoopDevice changes_;
  LoopRegistry::Lease origin_;
};

// Those of one server. Must outlive the disks. Thread-safe.
class DmSnapshots {
 public:
  // Called at the end of each step: "changes" (its loop device is attached), "origin", "device",
  // "table", "active", "node"; and of taking down: "device-gone", "changes-gone", "origin-gone".
  using OnStep = std::function<void(const std::string& id, std::string_view step)>;

  // `root` is the folder that tells this server from others on the machine: devices carry its
  // digest in their uuid. kUnimplemented, with the remedy, where device-mapper, its snapshot target
  // or loop devices are not to be had; kPermissionDenied: needs root.
  static Result<std::unique_ptr<DmSnapshots>> Open(const std::string& root, OnStep on_step = {});

  // Makes a disk's device. `id` is a name (IsName()). Each file of changes can be attached once, on
  // the whole machine: kFailedPrecondition. kAlreadyExists: there is a device of this id;
  // kDataLoss: the file is damaged, lost its changes, or is for another base. On failure nothing is
  // left. Whether the file names this base is for CheckLayers() to say, before.
  Result<DmSnapshot> Attach(const std::string& id, const std::string& changes,
                            const std::string& base);

  // Takes over one that an earlier server attached; its I/O goes on if it was held. kNotFound when
  // there is none, or a half-made one, or it is of other files.
  Result<DmSnapshot> Adopt(const std::string& id, const std::string& changes,
                           const std::string& base);

  // The ids of this server's devices, half-made ones too.
  Result<std::vector<std::string>> Ids() const;

  // Removes what there is of an id, in whatever state it was left. Files stay. Harmless when there
  // is nothing; kFailedPrecondition when the device is another server's.
  Status Clear(const std::string& id, Deadline deadline);

  // Removes all of this server's devices but those of `keep`, and nodes without a device. Tries
  // all, and answers the first failure.
  Status RemoveStale(const std::set<std::string>& keep, Deadline deadline);

  // Loop devices of base images that are attached.
  size_t origins() const { return origins_.size(); }

 private:
  friend class DmSnapshot;
  DmSnapshots(os::DeviceMapper mapper, std::string mark, OnStep on_step);

  void Step(const std::string& id, std::string_view step) const;
  std::string Uuid(const std::string& id) const { return mark_ + id; }
  bool IsOurs(const os::DmDevice& device) const;
  Result<os::DmDevice> FindOurs(const std::string& id) const;
  Result<DmSnapshot> Build(const std::string& id, const CowHeader& header, os::LoopDevice changes,
                           LoopRegistry::Lease origin) const;

  const os::DeviceMapper mapper_;
  const std::string mark_;  // "WRENN-<digest>-"
  const OnStep on_step_;
  LoopRegistry origins_;
};

}  // namespace wrenn::disk
