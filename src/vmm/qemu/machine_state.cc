// What a QemuMachine does for snapshots.
//
// QEMU has no documented command that saves a machine apart from its RAM, but its Xen support is
// one: xen-save-devices-state writes a migration stream of processors and devices alone, which an
// ordinary incoming migration takes (docs/adr/0006-snapshots.md).
#include <fcntl.h>
#include <sys/stat.h>

#include "os/files.h"
#include "vmm/qemu/command_line.h"
#include "vmm/qemu/machine.h"

namespace wrenn::vmm {

Result<memory::ProcessMemory> QemuMachine::Memory() const {
  if (parts_.config.memory.empty()) {
    return Fail(Code::kFailedPrecondition,
                "the memory of '{}' cannot be taken: it has no base file", parts_.config.id);
  }
  if (parts_.foreign) {
    return Fail(Code::kFailedPrecondition,
                "'{}' runs on another QEMU than is installed now, which could not go on from its "
                "memory: copy what you need out of it, and stop it",
                parts_.config.id);
  }
  const pid_t pid = parts_.process.pid();
  ASSIGN_OR_RETURN(auto mappings, memory::FindMappings(pid, parts_.config.memory));
  return memory::ProcessMemory(pid, std::move(mappings));
}

Status QemuMachine::SaveState(const std::string& path, Deadline deadline) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) return Fail(ErrnoError("cannot make machine state '" + path + "'"));
  // Not by its path, to which a jailed VMM has no way.
  ASSIGN_OR_RETURN(state_descriptor_, parts_.vmm.qmp->AddDescriptor(file.get(), deadline));
  Status saved =
      Command("xen-save-devices-state",
              {{"filename", fmt::format("/dev/fdset/{}", *state_descriptor_)}}, deadline);
  if (!saved) {
    Error& error = saved.error();
    // QEMU speaks of "an IO error", whatever it was.
    constexpr uint64_t kStateRoom = 1 << 20;
    const auto free = os::FreeDiskBytes(path.substr(0, path.rfind('/')));
    if (free && *free < kStateRoom) {
      error = {Code::kResourceExhausted, "no space left on the host's disk", error.detail};
    }
    return Fail(error.WithContext("the machine's state could not be saved"));
  }
  return {};
}

Status QemuMachine::LoadState(const std::string& path, Deadline deadline) {
  const UniqueFd state(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!state) return Fail(ErrnoError("cannot open machine state '" + path + "'"));
  const json::array events{json::object{{"capability", "events"}, {"state", true}}};
  RETURN_IF_ERROR(Command("migrate-set-capabilities", {{"capabilities", events}}, deadline));
  RETURN_IF_ERROR(parts_.vmm.qmp->PassDescriptor("state", state.get(), deadline));
  RETURN_IF_ERROR(Command("migrate-incoming", {{"uri", "fd:state"}}, deadline));
  return WaitForState(deadline);
}

Status QemuMachine::WaitForState(Deadline deadline) {
  std::unique_lock lock(mutex_);
  const auto decided = [this] {
    return exit_.Get() || migration_ == "completed" || migration_ == "failed";
  };
  if (deadline.IsNever()) {
    changed_.wait(lock, decided);
  } else if (!changed_.wait_until(lock, deadline.when(), decided)) {
    return Fail(Code::kDeadlineExceeded, "the VMM did not load the machine's state in time");
  }
  const bool failed = migration_ == "failed";
  if (!failed && !exit_.Get()) return {};
  lock.unlock();
  // A VMM that refuses the state ends after it has said so, and its last words are the reason.
  exit_.Wait(Deadline::After(std::chrono::seconds(5)));
  const auto exit = exit_.Get();
  const std::string reason = exit ? exit->reason : "";
  if (failed) {
    return Fail(Error{Code::kDataLoss, "the VMM could not load the machine's state", reason});
  }
  return Fail(Error{Code::kInternal, "the VMM ended while it loaded the machine's state", reason});
}

// By its name, since QEMU gives no plain file name for a layer whose lower one it was told of by
// us.
Result<std::string> QemuMachine::DiskNodeInUse(Deadline deadline) {
  ASSIGN_OR_RETURN(const json::value reply, parts_.vmm.qmp->Execute("query-block", {}, deadline));
  const json::array none;
  for (const json::value& device : reply.is_array() ? reply.get_array() : none) {
    if (!device.is_object()) continue;
    JsonReader reader(device.get_object());
    const json::object* inserted = reader.Object("inserted");
    if (!inserted) continue;
    std::string node = JsonReader(*inserted).String("node-name");
    // It becomes a part of a path, and the VMM is not trusted.
    if (!node.empty() && node.find('/') == std::string::npos) return node;
  }
  return Fail(Code::kInternal, "the VMM does not say which disk '{}' has", parts_.config.id);
}

Result<std::string> QemuMachine::Disk(Deadline deadline) {
  ASSIGN_OR_RETURN(const std::string node, DiskNodeInUse(deadline));
  return LayerPath(node);
}

std::string QemuMachine::LayerPath(const std::string& node) const {
  const std::string& first = parts_.config.disk;
  if (node == DiskNodeName(first)) return first;
  return fmt::format("{}/{}.qcow2", first.substr(0, first.rfind('/')), node);
}

Status QemuMachine::PrepareDisk(const std::string& path, Deadline deadline) {
  if (parts_.config.user != 0) RETURN_IF_ERROR(GiveLayer(path, parts_.config.user));
  return Command("blockdev-add", DiskNode(path, DiskFormat::kQcow2, true), deadline);
}

Status QemuMachine::DropDisk(const std::string& path, Deadline deadline) {
  return Command("blockdev-del", {{"node-name", DiskNodeName(path)}}, deadline);
}

Status QemuMachine::SwitchDisk(const std::string& path, Deadline deadline) {
  ASSIGN_OR_RETURN(const std::string present, DiskNodeInUse(deadline));
  RETURN_IF_ERROR(
      Command("blockdev-snapshot", {{"node", present}, {"overlay", DiskNodeName(path)}}, deadline));
  // It has it open for reading still, and will not get it for writing again.
  if (parts_.config.user != 0) RETURN_IF_ERROR(ShareLayer(LayerPath(present)));
  return {};
}

Status QemuMachine::ReplaceBelow(const std::string& merged,
                                 const std::vector<std::string>& replaced, Deadline deadline) {
  ASSIGN_OR_RETURN(const std::string top, Disk(deadline));
  const std::string name = DiskNodeName(top);
  const auto file_name = [](const std::string& path) { return path.substr(path.rfind('/') + 1); };
  // QEMU takes the top layer's own format for that of the one below; both are qcow2.
  RETURN_IF_ERROR(Command(
      "change-backing-file",
      {{"device", name}, {"image-node-name", name}, {"backing-file", "./" + file_name(merged)}},
      deadline));
  if (parts_.config.user != 0) RETURN_IF_ERROR(ShareLayer(merged));
  json::object below = DiskNode(merged, DiskFormat::kQcow2, false);
  below["read-only"] = true;  // what is below it is opened with it
  RETURN_IF_ERROR(Command("blockdev-add", std::move(below), deadline));
  // All that it was opened with must be said again, or it takes the default.
  json::object node = DiskNode(top, DiskFormat::kQcow2, false);
  node["backing"] = DiskNodeName(merged);
  RETURN_IF_ERROR(
      Command("blockdev-reopen", {{"options", json::array{std::move(node)}}}, deadline));
  // Those that came by PrepareDisk() stay open until they are deleted, and keep their space on the
  // disk; those that QEMU found by itself have other names, and are closed already.
  for (const std::string& path : replaced) (void)DropDisk(path, deadline);
  return {};
}

}  // namespace wrenn::vmm
