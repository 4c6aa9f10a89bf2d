#include "guest/boot/initramfs.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/io.h"
#include "guest/boot/command_line.h"
#include "guest/boot/grow_root.h"
#include "guest/boot/mounts.h"
#include "guest/boot/uevents.h"
#include "guest/boot/virtio.h"
#include "guest/init/console.h"
#include "guest/split.h"

namespace wrenn::guest {
namespace {

constexpr const char* kModules = "/modules";
constexpr const char* kNewRoot = "/newroot";
// Devices are there as soon as their driver has probed; an emulated CPU of a busy host takes its
// time.
constexpr std::chrono::seconds kDiskLimit{30};

void LoadModule(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return;  // this kernel has it built in
  if (::syscall(SYS_finit_module, fd.get(), "", 0) < 0 && errno != EEXIST) {
    Console("cannot load {}: {}", path, ::strerrordesc_np(errno));
  }
}

// Only Firecracker's machines have vsock. QEMU's have an entropy device as well, but no use for its
// driver: the agent gets entropy at each start, and the driver's thread would run in every restored
// guest, which is slow under emulation.
bool IsNeeded(std::string_view module) {
  const bool for_firecracker =
      module == "virtio_rng.ko" || module == "vsock.ko" || module.starts_with("vmw_vsock_");
  return !for_firecracker || HasVirtioDevice(kVirtioVsock);
}

// Loads what the list names, and gives the memory of the files back.
void LoadModules() {
  const std::string folder = kModules;
  auto order = ReadFile(folder + "/order");
  if (!order) return;
  for (const std::string_view name : Words(*order)) {
    const std::string path = fmt::format("{}/{}", folder, name);
    if (IsNeeded(name)) LoadModule(path);
    ::unlink(path.c_str());
  }
}

bool IsBlockDevice(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 && S_ISBLK(info.st_mode);
}

Status MoveRoot() {
  for (const std::string_view name : {"/dev", "/proc", "/sys"}) {
    const std::string target = std::string(kNewRoot).append(name);
    ::mkdir(target.c_str(), 0755);
    if (::mount(std::string(name).c_str(), target.c_str(), nullptr, MS_MOVE, nullptr) < 0) {
      return Fail(ErrnoError(fmt::format("cannot move {} to the root", name)));
    }
  }
  ::unlink("/init");
  if (::chdir(kNewRoot) < 0 || ::mount(".", "/", nullptr, MS_MOVE, nullptr) < 0 ||
      ::chroot(".") < 0 || ::chdir("/") < 0) {
    return Fail(ErrnoError("cannot switch to the root"));
  }
  return {};
}

}  // namespace

bool InInitramfs() {
  struct statfs info;
  return ::statfs("/", &info) == 0 && (info.f_type == RAMFS_MAGIC || info.f_type == TMPFS_MAGIC) &&
         ::access("/modules/order", F_OK) == 0;
}

Status SwitchToRoot() {
  RETURN_IF_ERROR(MountEssentials());
  OpenConsole();
  ASSIGN_OR_RETURN(Uevents uevents, Uevents::Open());
  LoadModules();
  ASSIGN_OR_RETURN(const CommandLine arguments, CommandLine::Read());
  const std::string disk = arguments.Value("root", "/dev/vda");
  const std::string type = arguments.Value("rootfstype", "ext4");
  if (!uevents.WaitUntil([&] { return IsBlockDevice(disk); }, Deadline::After(kDiskLimit))) {
    return Fail(Code::kNotFound, "there is no disk {} (root=), waited {} s for it", disk,
                kDiskLimit.count());
  }
  ::mkdir(kNewRoot, 0755);
  if (::mount(disk.c_str(), kNewRoot, type.c_str(), MS_NOATIME, "") < 0) {
    return Fail(ErrnoError(fmt::format("cannot mount {} as {}", disk, type)));
  }
  // A root that stays small still works, so a failure is said and no more.
  if (type == "ext4") {
    if (auto grown = GrowRoot(disk, kNewRoot); !grown) Console("{}", grown.error().message);
  }
  return MoveRoot();
}

}  // namespace wrenn::guest
