// A machine's configuration for tests that look at what is made of it.
#pragma once

#include "vmm/machine.h"

namespace wrenn::vmm {

inline MachineConfig TestConfig() {
  MachineConfig config;
  config.id = "sb-abc";
  config.directory = "/data/sandboxes/sb-abc";
  config.runtime_directory = "/run/w/sb/sb-abc";
  config.vcpus = 2;
  config.memory_mb = 512;
  config.kernel = "/data/kernels/k/vmlinux";
  config.initramfs = "/data/kernels/k/initramfs";
  config.disk = "/data/sandboxes/sb-abc/disk.qcow2";
  return config;
}

}  // namespace wrenn::vmm
