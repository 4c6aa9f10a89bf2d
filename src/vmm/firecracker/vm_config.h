// VmConfig: what one Firecracker microVM is, and the kernel command line that follows from it.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace wrenn::vmm {

// Of the fields that have a default, one that is empty or 0 stands for it: see WithDefaults().
struct VmConfig {
  std::string sandbox_id;   // unique, e.g. "sb-a1b2c3d4"
  std::string kernel_path;  // uncompressed vmlinux
  // The block device of the root file system, usually a dm-snapshot such as
  // "/dev/mapper/wrenn-sb-a1b2c3d4".
  std::string rootfs_path;
  int vcpus = 0;      // 1
  int memory_mb = 0;  // 512; in MiB
  // Firecracker is started in this namespace, e.g. "ns-1"; it must exist and hold the TAP device.
  std::string network_namespace;
  std::string tap_device;       // "tap0"; inside that namespace
  std::string tap_mac;          // "02:FC:00:00:00:05"; of the guest's interface
  std::string guest_ip;         // e.g. "169.254.0.21"
  std::string gateway_ip;       // of the TAP device, e.g. "169.254.0.22"
  std::string net_mask;         // e.g. "255.255.255.252"
  std::string firecracker_bin;  // "/usr/local/bin/firecracker"
  std::string socket_path;      // "/tmp/fc-{sandbox_id}.sock"; of Firecracker's API
  // "/tmp/fc-vm": where a tmpfs, private to the VM's mount namespace, holds its files. Snapshots
  // record the path of the disk; so it is the same in every VM: a link there.
  std::string sandbox_dir;
  std::string init_path;  // "/usr/local/bin/wrenn-init"; inside the guest
};

// kInvalidArgument "<Field> is required" for the first required field that is empty.
Status Validate(const VmConfig& config);

VmConfig WithDefaults(VmConfig config);

// The links in the sandbox's directory that Firecracker is given for kernel and disk. (These
// functions take a configuration WithDefaults().)
std::string KernelLink(const VmConfig& config);
std::string RootfsLink(const VmConfig& config);

// The kernel's command line.
std::string KernelArguments(const VmConfig& config);

// What Debian's kernels and this host need besides.
struct KernelAdditions {
  // The rate of the host's time stamp counter where KVM itself is emulated, 0 elsewhere: there
  // EmulatedKernelArguments() are added.
  uint32_t emulated_tsc_khz = 0;
  // For wrenn-init; empty: none.
  std::string dns = {};  // the guest's resolver
  std::string ip6 = {};  // its other address, as guest/init/network.h says
};

// KernelArguments() and the additions behind it.
std::string KernelArguments(const VmConfig& config, const KernelAdditions& additions);

}  // namespace wrenn::vmm
