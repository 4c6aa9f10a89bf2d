#include "disk/dm_snapshot.h"

#include <fcntl.h>
#include <linux/major.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <filesystem>
#include <optional>
#include <utility>

#include "base/id.h"
#include "base/revert.h"
#include "disk/cow_file.h"
#include "os/digest.h"
#include "os/files.h"

namespace wrenn::disk {
namespace {

constexpr std::string_view kPrefix = "wrenn-";
// For undoing: what has just been made has no other user but, for a moment, udev.
constexpr Deadline::Duration kUndo(5000);

std::string NameOf(const std::string& id) { return std::string(kPrefix) + id; }
std::string IdOf(const std::string& name) { return name.substr(kPrefix.size()); }

// Opens a file of changes to write it. Its lock is kept by the loop device, so that no other one,
// of whatever process, is ever attached to the file: two would destroy its metadata.
Result<UniqueFd> OpenChanges(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) return Fail(ErrnoError("cannot open the disk's file of changes"));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
  if (errno != EWOULDBLOCK) return Fail(ErrnoError("cannot lock the disk's file of changes"));
  return Fail(Code::kFailedPrecondition, "the disk is in use already");
}

Status CheckBaseSize(const std::string& base, const CowHeader& header) {
  struct stat info;
  if (::stat(base.c_str(), &info) < 0) return Fail(ErrnoError("cannot open the base image"));
  if (static_cast<uint64_t>(info.st_size) == header.base_bytes) return {};
  return Fail(Code::kDataLoss,
              "the disk's changes are of a base image of {} bytes, this one has {}",
              header.base_bytes, info.st_size);
}

Result<os::FileIdentity> IdentityOf(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) return Fail(ErrnoError("cannot open the disk's file of changes"));
  return os::IdentityOf(fd.get());
}

}  // namespace

DmSnapshot::DmSnapshot(const DmSnapshots* owner, std::string name, dev_t device,
                       os::LoopDevice changes, LoopRegistry::Lease origin)
    : owner_(owner),
      name_(std::move(name)),
      path_(os::DeviceMapper::NodePath(name_)),
      device_(device),
      changes_(std::move(changes)),
      origin_(std::move(origin)) {}

Result<SnapshotState> DmSnapshot::State() const {
  ASSIGN_OR_RETURN(const auto targets, owner_->mapper_.TargetStates(name_));
  if (targets.empty()) return Fail(Code::kDataLoss, "device '{}' has no table", name_);
  return ParseSnapshotState(targets.front().text);
}

Status DmSnapshot::Suspend() {
  return owner_->mapper_.Suspend(name_, os::DeviceMapper::WriteOut::kAll);
}

Status DmSnapshot::Hold() {
  return owner_->mapper_.Suspend(name_, os::DeviceMapper::WriteOut::kNothing);
}

Status DmSnapshot::Resume() { return owner_->mapper_.Resume(name_); }

Status DmSnapshot::Remove(Deadline deadline, const OnGone& on_gone) {
  const std::string id = IdOf(name_);
  RETURN_IF_ERROR(owner_->mapper_.Remove(name_, deadline));
  owner_->Step(id, "device-gone");
  if (on_gone) on_gone("device");
  RETURN_IF_ERROR(changes_.Detach(deadline));
  owner_->Step(id, "changes-gone");
  RETURN_IF_ERROR(origin_.Release(deadline));
  owner_->Step(id, "origin-gone");
  if (on_gone) on_gone("loops");
  return {};
}

Result<std::unique_ptr<DmSnapshots>> DmSnapshots::Open(const std::string& root, OnStep on_step) {
  ASSIGN_OR_RETURN(os::DeviceMapper mapper, os::DeviceMapper::Open());
  RETURN_IF_ERROR(mapper.RequireTarget("snapshot"));
  if (!os::Exists("/dev/loop-control")) {
    return Fail(Code::kUnimplemented,
                "this machine has no loop devices: load the kernel module 'loop'");
  }
  std::error_code error;
  const auto place = std::filesystem::canonical(root, error);
  if (error) return Fail(ErrnoError("cannot resolve '" + root + "'", error.value()));
  constexpr size_t kDigits = 16;
  std::string mark = "WRENN-" + os::Sha256Hex(place.string()).substr(0, kDigits) + "-";
  return std::unique_ptr<DmSnapshots>(
      new DmSnapshots(std::move(mapper), std::move(mark), std::move(on_step)));
}

DmSnapshots::DmSnapshots(os::DeviceMapper mapper, std::string mark, OnStep on_step)
    : mapper_(std::move(mapper)), mark_(std::move(mark)), on_step_(std::move(on_step)) {}

void DmSnapshots::Step(const std::string& id, std::string_view step) const {
  if (on_step_) on_step_(id, step);
}

bool DmSnapshots::IsOurs(const os::DmDevice& device) const {
  return device.name.starts_with(kPrefix) && device.uuid == Uuid(IdOf(device.name));
}

Result<os::DmDevice> DmSnapshots::FindOurs(const std::string& id) const {
  ASSIGN_OR_RETURN(os::DmDevice device, mapper_.Find(NameOf(id)));
  if (IsOurs(device)) return device;
  return Fail(Code::kFailedPrecondition, "the device '{}' belongs to another server", device.name);
}

Result<DmSnapshot> DmSnapshots::Attach(const std::string& id, const std::string& changes,
                                       const std::string& base) {
  if (!IsName(id)) return Fail(Code::kInvalidArgument, "'{}' cannot be a disk's id", id);
  ASSIGN_OR_RETURN(UniqueFd file, OpenChanges(changes));
  ASSIGN_OR_RETURN(const CowHeader header, ReadCowHeader(file.get()));
  RETURN_IF_ERROR(CheckBaseSize(base, header));
  ASSIGN_OR_RETURN(os::LoopDevice loop, os::LoopDevice::Attach(file.get(), {.direct_io = true}));
  file.Reset();  // the lock is the loop device's now
  Step(id, "changes");
  ASSIGN_OR_RETURN(LoopRegistry::Lease origin, origins_.Acquire(base));
  Step(id, "origin");
  return Build(id, header, std::move(loop), std::move(origin));
}

Result<DmSnapshot> DmSnapshots::Build(const std::string& id, const CowHeader& header,
                                      os::LoopDevice changes, LoopRegistry::Lease origin) const {
  const std::string name = NameOf(id);
  ASSIGN_OR_RETURN(const dev_t device, mapper_.Create(name, Uuid(id)));
  Revert revert;
  revert.Add([&] { (void)mapper_.Remove(name, Deadline::After(kUndo)); });
  Step(id, "device");
  RETURN_IF_ERROR(mapper_.Load(name, SnapshotTable({origin.device(), changes.device()}, header)));
  Step(id, "table");
  RETURN_IF_ERROR(mapper_.Resume(name));
  Step(id, "active");
  RETURN_IF_ERROR(mapper_.MakeNode(name));
  DmSnapshot made(this, name, device, std::move(changes), std::move(origin));
  // The kernel takes a store that it has given up, and fails all I/O.
  ASSIGN_OR_RETURN(const SnapshotState state, made.State());
  if (!state.failure.empty()) return Fail(Code::kDataLoss, "{}", state.failure);
  Step(id, "node");
  revert.Disarm();
  return made;
}

Result<DmSnapshot> DmSnapshots::Adopt(const std::string& id, const std::string& changes,
                                      const std::string& base) {
  const std::string name = NameOf(id);
  ASSIGN_OR_RETURN(const os::DmDevice device, FindOurs(id));
  if (!device.has_table) return Fail(Code::kNotFound, "the device '{}' was half-made", name);
  ASSIGN_OR_RETURN(const auto table, mapper_.Table(name));
  ASSIGN_OR_RETURN(const SnapshotDevices devices, ParseSnapshotTable(table));
  if (::major(devices.origin) != LOOP_MAJOR || ::major(devices.changes) != LOOP_MAJOR) {
    return Fail(Code::kNotFound, "the device '{}' is not over loop devices", name);
  }
  ASSIGN_OR_RETURN(const os::FileIdentity file, IdentityOf(changes));
  ASSIGN_OR_RETURN(os::LoopDevice loop, os::LoopDevice::Open(::minor(devices.changes), file));
  ASSIGN_OR_RETURN(LoopRegistry::Lease origin, origins_.Adopt(base, ::minor(devices.origin)));
  if (device.suspended) RETURN_IF_ERROR(mapper_.Resume(name));
  RETURN_IF_ERROR(mapper_.MakeNode(name));
  return DmSnapshot(this, name, device.device, std::move(loop), std::move(origin));
}

Result<std::vector<std::string>> DmSnapshots::Ids() const {
  std::vector<std::string> ids;
  ASSIGN_OR_RETURN(const auto names, mapper_.List(kPrefix));
  for (const std::string& name : names) {
    const auto device = mapper_.Find(name);
    if (device && IsOurs(*device)) ids.push_back(IdOf(name));
  }
  return ids;
}

Status DmSnapshots::Clear(const std::string& id, Deadline deadline) {
  const std::string name = NameOf(id);
  const auto device = FindOurs(id);
  if (!device && device.error().code == Code::kNotFound) return {};
  if (!device) return Fail(device.error());
  // Whoever waits for held I/O cannot end, and keeps the device open.
  if (device->suspended && device->has_table) RETURN_IF_ERROR(mapper_.Resume(name));
  std::optional<os::FileIdentity> file;
  unsigned loop = 0;
  if (const auto table = mapper_.Table(name)) {
    const auto devices = ParseSnapshotTable(*table);
    if (devices && ::major(devices->changes) == LOOP_MAJOR) {
      loop = ::minor(devices->changes);
      ASSIGN_OR_RETURN(file, os::FileOfLoop(loop));
    }
  }
  RETURN_IF_ERROR(mapper_.Remove(name, deadline));
  return file ? os::WaitDetached(loop, *file, deadline) : Status();
}

Status DmSnapshots::RemoveStale(const std::set<std::string>& keep, Deadline deadline) {
  ASSIGN_OR_RETURN(const auto ids, Ids());
  Status removed;
  for (const std::string& id : ids) {
    if (keep.contains(id)) continue;
    if (Status one = Clear(id, deadline); !one && removed) removed = std::move(one);
  }
  RETURN_IF_ERROR(removed);
  return mapper_.RemoveStaleNodes(kPrefix);
}

}  // namespace wrenn::disk
