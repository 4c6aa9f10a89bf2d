#include "vmm/firecracker/vm_config.h"

#include "vmm/emulated_kernel.h"

namespace wrenn::vmm {
namespace {

void Default(std::string& field, std::string_view value) {
  if (field.empty()) field = value;
}

void Default(int& field, int value) {
  if (field == 0) field = value;
}

}  // namespace

Status Validate(const VmConfig& config) {
  const struct {
    std::string_view name;
    const std::string& value;
  } required[] = {
      {"SandboxID", config.sandbox_id},   {"KernelPath", config.kernel_path},
      {"RootfsPath", config.rootfs_path}, {"NetworkNamespace", config.network_namespace},
      {"GuestIP", config.guest_ip},       {"GatewayIP", config.gateway_ip},
      {"NetMask", config.net_mask},
  };
  for (const auto& field : required) {
    if (field.value.empty()) return Fail(Code::kInvalidArgument, "{} is required", field.name);
  }
  return {};
}

VmConfig WithDefaults(VmConfig config) {
  Default(config.vcpus, 1);
  Default(config.memory_mb, 512);
  Default(config.tap_device, "tap0");
  Default(config.tap_mac, "02:FC:00:00:00:05");
  Default(config.firecracker_bin, "/usr/local/bin/firecracker");
  Default(config.socket_path, fmt::format("/tmp/fc-{}.sock", config.sandbox_id));
  Default(config.sandbox_dir, "/tmp/fc-vm");
  Default(config.init_path, "/usr/local/bin/wrenn-init");
  return config;
}

std::string KernelLink(const VmConfig& config) { return config.sandbox_dir + "/vmlinux"; }

std::string RootfsLink(const VmConfig& config) { return config.sandbox_dir + "/rootfs.ext4"; }

std::string KernelArguments(const VmConfig& config) {
  return fmt::format(
      "console=ttyS0 reboot=k panic=1 pci=off quiet loglevel=1 init={} ip={}::{}:{}:sandbox:eth0:"
      "off",
      config.init_path, config.guest_ip, config.gateway_ip, config.net_mask);
}

std::string KernelArguments(const VmConfig& config, const KernelAdditions& additions) {
  std::string line = KernelArguments(config);
  if (additions.emulated_tsc_khz != 0) {
    line += " " + EmulatedKernelArguments(additions.emulated_tsc_khz);
  }
  if (!additions.dns.empty()) line += " wrenn.dns=" + additions.dns;
  if (!additions.ip6.empty()) line += " wrenn.ip6=" + additions.ip6;
  return line;
}

}  // namespace wrenn::vmm
