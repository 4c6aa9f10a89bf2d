// A jailed QEMU: what of the host it is given, and what it sees of its machine's files, which have
// the same paths in the jail as outside.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "os/jail.h"
#include "vmm/machine.h"

namespace wrenn::vmm {

inline constexpr const char* kJailedProgram = "/qemu-system-x86_64";
inline constexpr const char* kJailedFirmware = "/firmware";  // QEMU's data folder

// What every machine's QEMU loads.
struct QemuFiles {
  std::vector<os::Jail::Bind> binds;
  std::vector<std::string> environment;
};

// Finds the program, its libraries, the module that emulates processors, and microvm's firmware.
// `runtime` is a folder of this server's. What maps a machine's memory without opening it for
// writing is put there and preloaded, unless this QEMU does so by itself (`readonly_memory`).
Result<QemuFiles> FindQemuFiles(const std::string& binary, bool readonly_memory,
                                const std::string& runtime, Deadline deadline);

// The jail of a machine, whose user is MachineConfig::user. A pure function. `disk` is the number
// of a disk that is a block device, which has the same path there.
os::Jail QemuJail(const MachineConfig& config, const QemuFiles& files, bool kvm,
                  std::optional<dev_t> disk = std::nullopt);
std::vector<std::string> QemuEnvironment(const MachineConfig& config, const QemuFiles& files);

// Lets the machine's user write to the top layer of its disk and read what is below it and its
// memory's base, which other machines may share: those are root's, whoever wrote them.
Status GiveFiles(const MachineConfig& config);
// The same of one layer: that which it will write to, and one that it only reads.
Status GiveLayer(const std::string& path, uint32_t user);
Status ShareLayer(const std::string& path);

}  // namespace wrenn::vmm
