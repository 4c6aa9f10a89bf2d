#include "vmm/qemu/command_line.h"

#include "base/json.h"
#include "net/slot_plan.h"
#include "vmm/block_device.h"
#include "vmm/emulated_kernel.h"

namespace wrenn::vmm {
namespace {

void Append(std::vector<std::string>& argv, std::initializer_list<std::string> more) {
  argv.insert(argv.end(), more);
}

// A listening socket that we have made: so it can be connected to before QEMU has even started.
std::string SocketChardev(const char* id, int fd) {
  return fmt::format("socket,id={},fd={},server=on,wait=off", id, fd);
}

// Guest RAM. Private to the machine, so that its base can be anybody's.
std::string MemoryBackend(const MachineConfig& config, bool readonly) {
  if (config.memory.empty()) {
    return fmt::format("memory-backend-memfd,id=mem,size={}M,share=on", config.memory_mb);
  }
  json::object object{{"qom-type", "memory-backend-file"},
                      {"id", "mem"},
                      {"size", int64_t{config.memory_mb} << 20},
                      {"mem-path", config.memory},
                      {"share", false}};
  if (readonly) {
    object["readonly"] = true;
    object["rom"] = "off";
  }
  return json::serialize(object);
}

// Frames without a header for offloads, of either kind: what the guest's device can do is a part of
// its state, which has to fit both.
std::string NetworkBackend(const MachineConfig& config) {
  if (!config.net_namespace.empty()) {
    return json::serialize(
        json::object{{"type", "tap"}, {"id", "net0"}, {"fd", std::to_string(kNetworkFd)}});
  }
  const json::object netdev{
      {"type", "stream"},
      {"id", "net0"},
      {"server", false},
      {"addr", json::object{{"type", "fd"}, {"str", std::to_string(kNetworkFd)}}},
  };
  return json::serialize(netdev);
}

void AppendDevices(std::vector<std::string>& argv, const MachineConfig& config) {
  Append(argv, {"-chardev", SocketChardev("console", kConsoleFd), "-serial", "chardev:console"});
  Append(argv, {"-device", "virtio-serial-device,id=serial0,max_ports=4"});
  for (int lane = 0; lane < 2; ++lane) {
    const std::string id = fmt::format("agent{}", lane);
    Append(argv, {"-chardev", SocketChardev(id.c_str(), kAgentFd[lane]), "-device",
                  fmt::format("virtserialport,bus=serial0.0,nr={},chardev={},name={}", lane + 1, id,
                              kAgentPortName[lane])});
  }
  if (!config.disk.empty()) {
    // When the host's disk is full or fails the machine stops instead of the guest getting errors
    // that would ruin its file system; its watcher then lets it go on when there is room, or ends
    // it when the disk has failed.
    const json::object node = DiskNode(config.disk, config.disk_format, false);
    Append(argv, {"-blockdev", json::serialize(node), "-device",
                  fmt::format("virtio-blk-device,id=blk0,drive={},werror=stop,rerror=report",
                              DiskNodeName(config.disk))});
  }
  Append(argv, {"-object", "rng-builtin,id=rng0", "-device", "virtio-rng-device,rng=rng0"});
  if (config.network) {
    const std::string mac = os::ToString(net::kSlotGuestMac);
    Append(argv, {"-netdev", NetworkBackend(config), "-device",
                  "virtio-net-device,id=eth0,netdev=net0,mac=" + mac});
  }
}

}  // namespace

std::string DiskNodeName(const std::string& path) {
  const std::string file = path.substr(path.rfind('/') + 1);
  return file.substr(0, file.find('.'));
}

// JSON, since in the older comma-separated form a ',' in a path would end it.
json::object DiskNode(const std::string& path, DiskFormat format, bool alone) {
  json::object node{
      {"driver", format == DiskFormat::kQcow2 ? "qcow2" : "raw"},
      {"node-name", DiskNodeName(path)},
      {"discard", "unmap"},
      {"file", json::object{{"driver", IsBlockDevice(path) ? "host_device" : "file"},
                            {"filename", path},
                            {"discard", "unmap"}}},
  };
  if (alone) node["backing"] = nullptr;
  return node;
}

std::string MachineName(const std::string& id) { return "wrenn-" + id; }

std::string KernelCommandLine(const MachineConfig& config, const HostFacts& facts) {
  // reboot=t: a triple fault ends the machine whatever its devices are.
  std::string line = "console=ttyS0 panic=-1 reboot=t";
  line += facts.kernel_log ? " loglevel=7" : " quiet";
  if (!facts.kvm) line += " " + EmulatedKernelArguments(facts.tsc_khz);
  if (!config.disk.empty()) line += " root=/dev/vda rw";
  // Not the id: a snapshot of this machine may become many sandboxes. The agent sets their names.
  line += " wrenn.hostname=sandbox";
  if (config.network) {
    line += fmt::format(" ip={}::{}:{}:sandbox:eth0:off wrenn.dns={}", net::kSlotGuestAddress,
                        net::kSlotGateway, net::kSlotNetmask, net::kSlotGateway);
    // A user-mode network has IPv4 alone.
    if (!config.net_namespace.empty()) line += " wrenn.ip6=" + net::SlotIp6Argument();
  }
  return line;
}

std::vector<std::string> QemuCommandLine(const MachineConfig& config, const HostFacts& facts,
                                         Start start) {
  const bool jailed = config.user != 0;
  std::vector<std::string> argv{jailed ? kJailedProgram : facts.binary, "-name",
                                MachineName(config.id)};
  if (jailed) Append(argv, {"-L", kJailedFirmware});
  // suppress-vmdesc: or QEMU complains, when it loads a state, that the description of it is
  // missing. acpi=on: Debian's kernels ignore virtio-mmio devices on the command line. rtc=off: the
  // agent sets the clock. The serial port stays, or a boot that fails would do so without a word.
  Append(argv, {"-M",
                "microvm,acpi=on,x-option-roms=off,isa-serial=on,rtc=off,memory-backend=mem,"
                "suppress-vmdesc=on"});
  // The default translation cache can grow to 1 GiB per machine.
  Append(argv, {"-accel", facts.kvm ? "kvm" : "tcg,thread=multi,tb-size=32"});
  // Emulation does `rep movsb` and `rep stosb` a byte at a time, so a guest must not think them
  // fast: without ERMS and FSRM its kernel and libraries copy and clear by words (a copy within the
  // guest takes a quarter less time, a fork and exec a tenth).
  Append(argv,
         {"-cpu", facts.kvm ? "host" : "max,-erms,-fsrm", "-smp", std::to_string(config.vcpus)});
  Append(argv, {"-m", fmt::format("{}M", config.memory_mb), "-object",
                MemoryBackend(config, facts.readonly_memory)});
  Append(argv, {"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"});
  Append(argv,
         {"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"});
  Append(argv, {"-global", "virtio-mmio.force-legacy=false"});
  Append(argv, {"-chardev", SocketChardev("qmp", kQmpFd), "-mon", "chardev=qmp,mode=control"});
  if (start == Start::kBoot) {
    Append(argv, {"-kernel", config.kernel, "-initrd", config.initramfs, "-append",
                  KernelCommandLine(config, facts)});
  } else {
    // The state is a migration stream without RAM and without the section that names the machine.
    // -S, or the guest would run as soon as it is loaded.
    Append(argv, {"-S", "-incoming", "defer", "-global", "migration.send-configuration=off"});
  }
  AppendDevices(argv, config);
  return argv;
}

}  // namespace wrenn::vmm
