// Device-mapper: block devices made of others by the kernel, through its ioctls
// (<linux/dm-ioctl.h>; Documentation/admin-guide/device-mapper in the kernel's tree).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace wrenn::os {

// One stretch of a device, or what it says of itself. In sectors of 512 bytes.
struct DmTarget {
  uint64_t begin = 0;
  uint64_t length = 0;
  std::string type;  // "snapshot", "linear"
  std::string text;  // its parameters, or its status
};

struct DmDevice {
  std::string name;
  std::string uuid;  // as given to Create()
  dev_t device = 0;
  bool has_table = false;  // false between Create() and Resume()
  bool suspended = false;
};

// Names have at most 127 bytes and no '/', uuids at most 128. All that takes a name fails with
// kNotFound when there is no such device. Thread-safe.
class DeviceMapper {
 public:
  // kUnimplemented: this kernel has no device-mapper; kPermissionDenied: needs root.
  static Result<DeviceMapper> Open();

  // Has the kernel load a kind of target. kUnimplemented when it has none of the name.
  Status RequireTarget(const std::string& type) const;

  // Those whose name begins with `prefix`.
  Result<std::vector<std::string>> List(std::string_view prefix) const;
  Result<DmDevice> Find(const std::string& name) const;
  // What Load() was given.
  Result<std::vector<DmTarget>> Table(const std::string& name) const;
  // What each target says of its state.
  Result<std::vector<DmTarget>> TargetStates(const std::string& name) const;

  // Makes a device without a table. kAlreadyExists when the name or the uuid is taken.
  Result<dev_t> Create(const std::string& name, const std::string& uuid) const;
  // Gives it a table, which Resume() makes active; the devices that it names are in use from now
  // on. kInvalidArgument when a target refuses its parameters or what it finds on the devices that
  // they name: the kernel's log says why.
  Status Load(const std::string& name, const std::vector<DmTarget>& table) const;
  // Fails when a device of the new table is too small, and the old one stays.
  Status Resume(const std::string& name) const;
  // Holds all I/O until Resume(), when what has reached the device is done; with kAll also what the
  // page cache has of it is written out first.
  enum class WriteOut { kAll, kNothing };
  Status Suspend(const std::string& name, WriteOut write_out) const;

  // Makes the device's node, "/dev/mapper/<name>", mode 0600, unless udev has made that a link to
  // it. Answers the path.
  Result<std::string> MakeNode(const std::string& name) const;
  static std::string NodePath(const std::string& name) { return "/dev/mapper/" + name; }

  // Removes the device and its node. While somebody has it open the kernel refuses, and this waits:
  // kDeadlineExceeded when it is still open then, and it stays. Harmless when there is none.
  Status Remove(const std::string& name, Deadline deadline) const;

  // Removes the nodes "/dev/mapper/<prefix>*" that have no device.
  Status RemoveStaleNodes(std::string_view prefix) const;

 private:
  explicit DeviceMapper(UniqueFd control) : control_(std::move(control)) {}
  Result<std::vector<DmTarget>> Targets(const std::string& name, uint32_t flags) const;

  UniqueFd control_;
};

}  // namespace wrenn::os
