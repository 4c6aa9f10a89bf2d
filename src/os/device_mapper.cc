#include "os/device_mapper.h"

#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/io.h"
#include "os/dm_request.h"
#include "os/files.h"

namespace wrenn::os {
namespace {

constexpr const char* kFolder = "/dev/mapper";
constexpr const char* kControl = "/dev/mapper/control";

// For udev, where there is one: leave the device alone. What is on it a guest has written, and
// neither blkid nor LVM shall look for something of the host's in it. (The upper half of a udev
// cookie, from libdevmapper.h; the lower half, which names a semaphore to wait for, is none.)
constexpr uint32_t kDisableDmRules = 0x0001;
constexpr uint32_t kDisableSubsystemRules = 0x0002;
constexpr uint32_t kDisableDiskRules = 0x0004;
constexpr uint32_t kDisableOtherRules = 0x0008;
constexpr uint32_t kUdevFlags =
    (kDisableDmRules | kDisableSubsystemRules | kDisableDiskRules | kDisableOtherRules) << 16;

// The numbers of a device as the ioctls have them.
dev_t ToDevice(uint64_t number) {
  return ::makedev((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xfff00));
}

Status ToStatus(int error, std::string_view what, const std::string& name) {
  if (error == 0) return {};
  // ENXIO is what the ioctls answer when there is no device of this name.
  return Fail(
      ErrnoError(fmt::format("cannot {} '{}'", what, name), error == ENXIO ? ENOENT : error));
}

bool IsNodeOf(const std::string& path, dev_t device) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 && S_ISBLK(info.st_mode) && info.st_rdev == device;
}

// Removes a node; a link is udev's.
Status RemoveNode(const std::string& path) {
  struct stat info;
  if (::lstat(path.c_str(), &info) < 0 || !S_ISBLK(info.st_mode)) return {};
  if (::unlink(path.c_str()) < 0 && errno != ENOENT) {
    return Fail(ErrnoError("cannot remove '" + path + "'"));
  }
  return {};
}

// Wakes when somebody closes a device that is busy.
class CloseWatch {
 public:
  CloseWatch(const std::string& name, dev_t device)
      : fd_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
    for (const std::string& node :
         {DeviceMapper::NodePath(name), "/dev/dm-" + std::to_string(::minor(device))}) {
      (void)::inotify_add_watch(fd_.get(), node.c_str(), IN_CLOSE);
    }
  }

  // A close is told of just before it happens, and not at all when it was opened by another node or
  // within the kernel (by a mount, or a ring of io_uring): so it is also looked at now and then.
  void Wait(Deadline deadline) {
    constexpr Deadline::Duration kPause(10);
    (void)WaitReady(fd_.get(), POLLIN, Deadline::Earlier(deadline, Deadline::After(kPause)));
    std::array<char, 4096> events;
    while (::read(fd_.get(), events.data(), events.size()) > 0) {
    }
  }

 private:
  UniqueFd fd_;
};

}  // namespace

Result<DeviceMapper> DeviceMapper::Open() {
  UniqueFd control(::open(kControl, O_RDWR | O_CLOEXEC));
  if (!control) {
    Error error = ErrnoError("cannot open /dev/mapper/control");
    if (error.code == Code::kPermissionDenied) return Fail(std::move(error));
    return Fail(Error{Code::kUnimplemented,
                      "this machine has no device-mapper: load the kernel module 'dm-mod'",
                      error.message});
  }
  if (const int error = DmRequest().Send(control.get(), DM_VERSION)) {
    return Fail(Error{Code::kUnimplemented, "the kernel's device-mapper is of another version",
                      ErrnoError("DM_VERSION", error).message});
  }
  return DeviceMapper(std::move(control));
}

Status DeviceMapper::RequireTarget(const std::string& type) const {
  const int error = DmRequest(type).Send(control_.get(), DM_GET_TARGET_VERSION);
  if (error == 0) return {};
  return Fail(Error{Code::kUnimplemented,
                    fmt::format("the kernel's device-mapper has no target '{}': load the kernel "
                                "module 'dm-{}'",
                                type, type),
                    ErrnoError("DM_GET_TARGET_VERSION", error).message});
}

Result<std::vector<std::string>> DeviceMapper::List(std::string_view prefix) const {
  DmRequest request;
  RETURN_IF_ERROR(ToStatus(request.Send(control_.get(), DM_LIST_DEVICES), "list devices", ""));
  ASSIGN_OR_RETURN(std::vector<std::string> names, ParseDmNames(request.Answer()));
  std::erase_if(names, [&](const std::string& name) { return !name.starts_with(prefix); });
  return names;
}

Result<DmDevice> DeviceMapper::Find(const std::string& name) const {
  DmRequest request(name);
  RETURN_IF_ERROR(ToStatus(request.Send(control_.get(), DM_DEV_STATUS), "find device", name));
  const dm_ioctl& head = request.head();
  return DmDevice{std::string(head.name, ::strnlen(head.name, sizeof head.name)),
                  std::string(head.uuid, ::strnlen(head.uuid, sizeof head.uuid)),
                  ToDevice(head.dev), (head.flags & DM_ACTIVE_PRESENT_FLAG) != 0,
                  (head.flags & DM_SUSPEND_FLAG) != 0};
}

Result<std::vector<DmTarget>> DeviceMapper::Targets(const std::string& name, uint32_t flags) const {
  DmRequest request(name);
  request.head().flags = flags;
  RETURN_IF_ERROR(
      ToStatus(request.Send(control_.get(), DM_TABLE_STATUS), "read the table of device", name));
  return ParseDmTargets(request.Answer(), request.head().target_count);
}

Result<std::vector<DmTarget>> DeviceMapper::Table(const std::string& name) const {
  return Targets(name, DM_STATUS_TABLE_FLAG);
}

Result<std::vector<DmTarget>> DeviceMapper::TargetStates(const std::string& name) const {
  return Targets(name, 0);
}

Result<dev_t> DeviceMapper::Create(const std::string& name, const std::string& uuid) const {
  DmRequest request(name, uuid);
  const int error = request.Send(control_.get(), DM_DEV_CREATE);
  if (error == EBUSY) return Fail(Code::kAlreadyExists, "there is a device '{}' already", name);
  RETURN_IF_ERROR(ToStatus(error, "make device", name));
  return ToDevice(request.head().dev);
}

Status DeviceMapper::Load(const std::string& name, const std::vector<DmTarget>& table) const {
  DmRequest request(name);
  ASSIGN_OR_RETURN(const std::string data, EncodeDmTable(table));
  request.SetData(data);
  request.head().target_count = static_cast<uint32_t>(table.size());
  const int error = request.Send(control_.get(), DM_TABLE_LOAD);
  Status loaded = ToStatus(error, "load the table of device", name);
  // ENXIO is a target's answer too, to metadata that it does not know.
  if (error == EINVAL || (error == ENXIO && Find(name))) {
    loaded.error().code = Code::kInvalidArgument;
  }
  return loaded;
}

Status DeviceMapper::Resume(const std::string& name) const {
  DmRequest request(name);
  request.head().event_nr = kUdevFlags;
  return ToStatus(request.Send(control_.get(), DM_DEV_SUSPEND), "resume device", name);
}

Status DeviceMapper::Suspend(const std::string& name, WriteOut write_out) const {
  DmRequest request(name);
  request.head().flags =
      DM_SUSPEND_FLAG | (write_out == WriteOut::kNothing ? DM_SKIP_LOCKFS_FLAG : 0);
  return ToStatus(request.Send(control_.get(), DM_DEV_SUSPEND), "suspend device", name);
}

Result<std::string> DeviceMapper::MakeNode(const std::string& name) const {
  ASSIGN_OR_RETURN(const DmDevice device, Find(name));
  std::string path = NodePath(name);
  if (IsNodeOf(path, device.device)) return path;
  RETURN_IF_ERROR(RemoveNode(path));  // of a device that had the name before
  if (::mknod(path.c_str(), S_IFBLK | 0600, device.device) < 0 &&
      !(errno == EEXIST && IsNodeOf(path, device.device))) {
    return Fail(ErrnoError("cannot make '" + path + "'"));
  }
  return path;
}

Status DeviceMapper::Remove(const std::string& name, Deadline deadline) const {
  const auto remove = [&] {
    DmRequest request(name);
    request.head().event_nr = kUdevFlags;
    return request.Send(control_.get(), DM_DEV_REMOVE);
  };
  int error = remove();
  if (error == EBUSY) {
    const auto device = Find(name);
    CloseWatch watch(name, device ? device->device : 0);
    while ((error = remove()) == EBUSY) {
      if (deadline.HasPassed()) {
        return Fail(Code::kDeadlineExceeded, "device '{}' is still in use", name);
      }
      watch.Wait(deadline);
    }
  }
  if (error != ENXIO) RETURN_IF_ERROR(ToStatus(error, "remove device", name));
  return RemoveNode(NodePath(name));
}

Status DeviceMapper::RemoveStaleNodes(std::string_view prefix) const {
  // The nodes first: one that is made meanwhile has a device.
  ASSIGN_OR_RETURN(const auto nodes, ListDirectory(kFolder));
  ASSIGN_OR_RETURN(const auto devices, List(prefix));
  for (const std::string& node : nodes) {
    if (!node.starts_with(prefix) || std::ranges::find(devices, node) != devices.end()) continue;
    RETURN_IF_ERROR(RemoveNode(NodePath(node)));
  }
  return {};
}

}  // namespace wrenn::os
