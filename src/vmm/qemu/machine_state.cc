// What a QemuMachine does for snapshots.
//
// QEMU has no documented command that saves a machine apart from its RAM, but its Xen support is
// one: xen-save-devices-state writes a migration stream of processors and devices alone, which an
// ordinary incoming migration takes (docs/adr/0006-snapshots.md).
#include <fcntl.h>
#include <sys/stat.h>

#include "vmm/qemu/command_line.h"
#include "vmm/qemu/machine.h"

namespace wrenn::vmm {

Result<memory::ProcessMemory> QemuMachine::Memory() const {
  if (parts_.config.memory.empty()) {
    return Fail(Code::kFailedPrecondition,
                "the memory of '{}' cannot be taken: it has no base file", parts_.config.id);
  }
  const pid_t pid = parts_.process.pid();
  ASSIGN_OR_RETURN(auto mappings, memory::FindMappings(pid, parts_.config.memory));
  return memory::ProcessMemory(pid, std::move(mappings));
}

Status QemuMachine::SaveState(const std::string& path, Deadline deadline) {
  RETURN_IF_ERROR(Command("xen-save-devices-state", {{"filename", path}}, deadline));
  if (::chmod(path.c_str(), 0600) < 0) return Fail(ErrnoError("cannot protect '" + path + "'"));
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
    return exit_ || migration_ == "completed" || migration_ == "failed";
  };
  if (!changed_.wait_until(lock, deadline.when(), decided)) {
    return Fail(Code::kDeadlineExceeded, "the VMM did not load the machine's state in time");
  }
  if (exit_) {
    return Fail(
        Error{Code::kInternal, "the VMM ended while it loaded the machine's state", exit_->reason});
  }
  if (migration_ != "completed") {
    return Fail(Code::kDataLoss, "the VMM could not load the machine's state");
  }
  return {};
}

Result<std::string> QemuMachine::Disk(Deadline deadline) {
  ASSIGN_OR_RETURN(const json::value reply, parts_.vmm.qmp->Execute("query-block", {}, deadline));
  const json::array none;
  for (const json::value& device : reply.is_array() ? reply.get_array() : none) {
    if (!device.is_object()) continue;
    JsonReader reader(device.get_object());
    const json::object* inserted = reader.Object("inserted");
    if (!inserted) continue;
    std::string file = JsonReader(*inserted).String("file");
    if (!file.empty()) return file;
  }
  return Fail(Code::kInternal, "the VMM does not say which disk '{}' has", parts_.config.id);
}

Status QemuMachine::PrepareDisk(const std::string& path, Deadline deadline) {
  return Command("blockdev-add", DiskNode(path, DiskFormat::kQcow2, true), deadline);
}

Status QemuMachine::DropDisk(const std::string& path, Deadline deadline) {
  return Command("blockdev-del", {{"node-name", DiskNodeName(path)}}, deadline);
}

Status QemuMachine::SwitchDisk(const std::string& path, Deadline deadline) {
  ASSIGN_OR_RETURN(const std::string present, Disk(deadline));
  return Command("blockdev-snapshot",
                 {{"node", DiskNodeName(present)}, {"overlay", DiskNodeName(path)}}, deadline);
}

}  // namespace wrenn::vmm
