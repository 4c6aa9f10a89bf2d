// A microVM's configuration for tests that look at what is made of it.
#pragma once

#include "vmm/firecracker/vm_config.h"

namespace wrenn::vmm {

// The required fields only.
inline VmConfig TestVmConfig() {
  VmConfig config;
  config.sandbox_id = "sb-a1b2c3d4";
  config.kernel_path = "/data/vmlinux";
  config.rootfs_path = "/dev/mapper/wrenn-sb-a1b2c3d4";
  config.network_namespace = "ns-1";
  config.guest_ip = "169.254.0.21";
  config.gateway_ip = "169.254.0.22";
  config.net_mask = "255.255.255.252";
  return config;
}

}  // namespace wrenn::vmm
