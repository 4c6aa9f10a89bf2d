#include "vmm/qemu/jailed_qemu.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/io.h"
#include "os/command.h"
#include "os/files.h"
#include "os/process.h"
#include "os/shared_libraries.h"
#include "vmm/block_device.h"

// The library, as it was built (folder.cmake).
asm(".section .rodata\n"
    "wrenn_readonly_memory_begin:\n"
    ".incbin \"" WRENN_READONLY_MEMORY
    "\"\n"
    "wrenn_readonly_memory_end:\n"
    ".previous\n");
extern const char kReadonlyMemoryBegin[] asm("wrenn_readonly_memory_begin");
extern const char kReadonlyMemoryEnd[] asm("wrenn_readonly_memory_end");

namespace wrenn::vmm {
namespace {

constexpr const char* kLibraries = "/lib";
constexpr const char* kModules = "/modules";
constexpr const char* kPreloaded = "/readonly-memory.so";
// What emulates processors, where QEMU is built in modules (Debian's is).
constexpr const char* kEmulator = "accel-tcg-x86_64.so";
// The microvm machine's, with and without ACPI.
constexpr const char* kFirmware[] = {"bios-microvm.bin", "qboot.rom"};

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }
std::string FolderOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

os::Jail::Bind Executable(const std::string& from, const std::string& to) {
  return {from, to, false, true};
}

// One is enough; which one it is may differ by version.
Status AddFirmware(const std::string& binary, QemuFiles& files, Deadline deadline) {
  os::CommandOptions command;
  command.argv = {binary, "-L", "help"};  // its data folders, one a line
  ASSIGN_OR_RETURN(const std::string folders, os::RunCommandOrFail(command, deadline));
  const size_t before = files.binds.size();
  for (const char* name : kFirmware) {
    for (size_t begin = 0; begin < folders.size();) {
      const size_t end = std::min(folders.find('\n', begin), folders.size());
      const std::string path = folders.substr(begin, end - begin) + "/" + name;
      begin = end + 1;
      if (!os::Exists(path)) continue;
      files.binds.push_back({path, fmt::format("{}/{}", kJailedFirmware, name)});
      break;
    }
  }
  if (files.binds.size() > before) return {};
  return Fail(Code::kNotFound, "QEMU's firmware for microvm machines is not installed");
}

// Where there is none it is a part of the program.
void AddEmulator(const std::string& binary, QemuFiles& files) {
  for (const char* folder :
       {"/../lib/x86_64-linux-gnu/qemu/", "/../lib64/qemu/", "/../lib/qemu/"}) {
    const std::string path = FolderOf(binary) + folder + kEmulator;
    if (!os::Exists(path)) continue;
    files.binds.push_back(Executable(path, fmt::format("{}/{}", kModules, kEmulator)));
    files.environment.push_back(fmt::format("QEMU_MODULE_DIR={}", kModules));
    return;
  }
}

Status SetOwner(const std::string& path, uint32_t user, mode_t mode) {
  struct stat info{};
  // Others may be doing the same at this time.
  if (::lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
      ((info.st_uid == user && info.st_gid == user) || ::lchown(path.c_str(), user, user) == 0) &&
      ((info.st_mode & 0777) == mode || ::chmod(path.c_str(), mode) == 0)) {
    return {};
  }
  return Fail(ErrnoError(fmt::format("cannot give '{}' to its sandbox's VMM", path)));
}

Status AddReadonlyMemory(const std::string& runtime, QemuFiles& files) {
  const std::string path = runtime + "/qemu-readonly-memory.so";
  const std::string_view library(kReadonlyMemoryBegin,
                                 static_cast<size_t>(kReadonlyMemoryEnd - kReadonlyMemoryBegin));
  RETURN_IF_ERROR(ReplaceFile(path, library));
  RETURN_IF_ERROR(SetOwner(path, 0, 0644));  // whatever the umask is
  files.binds.push_back(Executable(path, kPreloaded));
  files.environment.push_back(fmt::format("LD_PRELOAD={}", kPreloaded));
  return {};
}

}  // namespace

Result<QemuFiles> FindQemuFiles(const std::string& binary, bool readonly_memory,
                                const std::string& runtime, Deadline deadline) {
  QemuFiles files;
  ASSIGN_OR_RETURN(const std::string program, os::FindProgram(binary));
  ASSIGN_OR_RETURN(const os::LinkedProgram linked, os::FindSharedLibraries(program, deadline));
  files.binds = {Executable(program, kJailedProgram)};
  if (!linked.loader.empty()) files.binds.push_back(Executable(linked.loader, linked.loader));
  for (const os::SharedLibrary& library : linked.libraries) {
    files.binds.push_back(
        Executable(library.path, fmt::format("{}/{}", kLibraries, NameOf(library.name))));
  }
  files.environment = {fmt::format("LD_LIBRARY_PATH={}", kLibraries)};
  AddEmulator(program, files);
  RETURN_IF_ERROR(AddFirmware(program, files, deadline));
  if (!readonly_memory) RETURN_IF_ERROR(AddReadonlyMemory(runtime, files));
  return files;
}

os::Jail QemuJail(const MachineConfig& config, const QemuFiles& files, bool kvm,
                  std::optional<dev_t> disk) {
  os::Jail jail;
  jail.uid = config.user;
  jail.gid = config.user;
  jail.binds = files.binds;
  for (const std::string& path : {config.kernel, config.initramfs}) {
    if (!path.empty()) jail.binds.push_back({path, path});
  }
  // What is below a block device is the kernel's to open.
  if (!disk && !config.base_image.empty()) {
    jail.binds.push_back({config.base_image, config.base_image});
  }
  // The folder, so that layers can be added while it runs. It is root's: only the top layer can be
  // written to, by its owner and mode.
  jail.binds.push_back({config.directory, config.directory, true});
  jail.devices = {{"/dev/null", makedev(1, 3)}, {"/dev/urandom", makedev(1, 9)}};
  if (kvm) jail.devices.push_back({"/dev/kvm", makedev(10, 232)});
  if (disk) jail.devices.push_back({config.disk, *disk, true});
  return jail;
}

std::vector<std::string> QemuEnvironment(const MachineConfig& config, const QemuFiles& files) {
  std::vector<std::string> environment = files.environment;
  environment.push_back("WRENN_READONLY_MEMORY=" + config.memory);
  return environment;
}

Status GiveLayer(const std::string& path, uint32_t user) { return SetOwner(path, user, 0600); }

Status ShareLayer(const std::string& path) { return SetOwner(path, 0, 0644); }

Status GiveFiles(const MachineConfig& config) {
  // The way to them leads through folders of root's alone; in the jail there is only this one.
  if (::chmod(config.directory.c_str(), 0711) < 0) {
    return Fail(ErrnoError("cannot open '" + config.directory + "' to its sandbox's VMM"));
  }
  if (!config.memory.empty()) RETURN_IF_ERROR(ShareLayer(config.memory));
  if (IsBlockDevice(config.disk)) return {};
  ASSIGN_OR_RETURN(const auto names, os::ListDirectory(config.directory));
  for (const std::string& name : names) {
    const std::string path = config.directory + "/" + name;
    if (name.starts_with("disk-") && path != config.disk) RETURN_IF_ERROR(ShareLayer(path));
  }
  return config.disk.empty() ? Status() : GiveLayer(config.disk, config.user);
}

}  // namespace wrenn::vmm
