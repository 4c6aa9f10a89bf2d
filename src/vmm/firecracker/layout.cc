#include "vmm/firecracker/layout.h"

#include <sys/sysmacros.h>

#include "net/slot_plan.h"
#include "vmm/firecracker/runtime_files.h"

namespace wrenn::vmm {
namespace {

constexpr const char* kProgram = "/firecracker";
constexpr const char* kKernel = "/boot/vmlinux";
constexpr const char* kInitramfs = "/boot/initramfs";
constexpr const char* kDisk = "/dev/disk";

}  // namespace

VmConfig FirecrackerConfig(const MachineConfig& config) {
  VmConfig vm;
  vm.sandbox_id = config.id;
  vm.kernel_path = config.kernel;
  vm.rootfs_path = config.disk;
  vm.vcpus = config.vcpus;
  vm.memory_mb = config.memory_mb;
  vm.network_namespace = config.net_namespace;
  vm.tap_device = net::kTapName;
  vm.tap_mac = os::ToString(net::kSlotGuestMac);
  vm.guest_ip = net::kSlotGuestAddress;
  vm.gateway_ip = net::kSlotGateway;
  vm.net_mask = net::kSlotNetmask;
  vm.firecracker_bin = kProgram;
  vm.socket_path = FirecrackerFiles(kRunInJail).Api();
  return WithDefaults(std::move(vm));
}

BootOptions FirecrackerOptions(const MachineConfig& config, const FirecrackerFacts& facts) {
  const FirecrackerFiles files(kRunInJail);
  BootOptions options;
  options.initramfs = kInitramfs;
  options.kernel.emulated_tsc_khz = facts.emulated_tsc_khz;
  options.kernel.dns = net::kSlotGateway;
  options.kernel.ip6 = net::SlotIp6Argument();
  options.vsock_path = files.Vsock();
  options.disk = config.disk_rate;
  options.log_path = files.Messages();
  options.metrics_path = files.Metrics();
  return options;
}

std::vector<std::string> FirecrackerArguments(const MachineConfig& config) {
  return {kProgram, "--id", config.id, "--api-sock", FirecrackerFiles(kRunInJail).Api()};
}

os::Jail FirecrackerJail(const MachineConfig& config, const FirecrackerFacts& facts,
                         std::optional<dev_t> disk, int net_namespace) {
  const VmConfig vm = FirecrackerConfig(config);
  os::Jail jail;
  jail.uid = config.user;
  jail.gid = config.user;
  jail.binds = {{facts.binary, kProgram, false, true},
                {config.kernel, kKernel},
                {config.initramfs, kInitramfs},
                {config.runtime_directory, kRunInJail, true}};
  jail.devices = {{"/dev/kvm", makedev(10, 232)},
                  {"/dev/net/tun", makedev(10, 200)},
                  {"/dev/null", makedev(1, 3)},
                  {"/dev/urandom", makedev(1, 9)}};
  if (disk) {
    jail.devices.push_back({kDisk, *disk, true});
  } else {
    jail.binds.push_back({config.disk, kDisk, true});
  }
  // The sandbox's directory (VmConfig::sandbox_dir) is on the jail's own tmpfs.
  jail.links = {{KernelLink(vm), kKernel}, {RootfsLink(vm), kDisk}};
  jail.net_namespace = net_namespace;
  return jail;
}

}  // namespace wrenn::vmm
