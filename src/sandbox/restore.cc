#include "sandbox/restore.h"

#include "memory/fill.h"
#include "snapshot/folder.h"
#include "snapshot/verify.h"
#include "template/image.h"

namespace wrenn::sandbox {

void SetDisk(vmm::MachineConfig& config, const disk::Layers& layers) {
  config.disk = config.directory + "/" + layers.front().name;
  config.disk_format = layers.front().format == disk::Format::kQcow2 ? vmm::DiskFormat::kQcow2
                                                                     : vmm::DiskFormat::kRaw;
}

Result<Restored> RestoreMachine(const Services& services, SandboxFiles& files, HostShare& share,
                                vmm::MachineConfig config, const net::NetworkPolicy& policy,
                                const Source& source, Deadline deadline, Phases& phases) {
  RETURN_IF_ERROR(snapshot::CheckFiles(source.snapshot, *source.manifest));
  Restored restored;
  const std::string base = template_::ImageFile(services.config.paths, source.manifest->image);
  if (services.config.verify_at_load) {
    RETURN_IF_ERROR(snapshot::VerifyForLoad(source.snapshot, *source.manifest, base));
    phases.Mark("verify");
  }
  ASSIGN_OR_RETURN(restored.disk, files.TakeDisk(source.snapshot, *source.manifest, 0,
                                                 services.host.disks != nullptr));
  ASSIGN_OR_RETURN(const memory::Image image, files.TakeMemory(source.snapshot));
  RETURN_IF_ERROR(files.NoteParent(source.manifest->id));
  SetDisk(config, restored.disk);
  config.memory = files.MemoryBase();
  config.disk_rate = services.config.disk_rate;
  RETURN_IF_ERROR(CheckFits(services, config, *source.manifest));
  phases.Mark("disk");
  RETURN_IF_ERROR(share.Acquire(base, policy, config));
  phases.Mark("host");

  uint64_t filled = 0;
  const auto fill = [&](const memory::ProcessMemory& memory) -> Status {
    phases.Mark("vmm");
    ASSIGN_OR_RETURN(filled, memory::Fill(image, files.folder(), memory));
    phases.Mark("memory");
    return {};
  };
  const std::string state = source.snapshot + snapshot::kStateFile;
  ASSIGN_OR_RETURN(restored.machine, services.engine.Restore(config, state, fill, deadline));
  phases.Note("filled_bytes", json::value(filled));
  phases.Mark("state");
  return restored;
}

}  // namespace wrenn::sandbox
