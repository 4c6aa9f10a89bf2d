#include "vmm/firecracker/vm_config.h"

#include <gtest/gtest.h>

#include "vmm/emulated_kernel.h"
#include "vmm/firecracker/test_vm_config.h"

namespace wrenn::vmm {
namespace {

TEST(VmConfigTest, NamesTheRequiredFieldsInTheirOrder) {
  const VmConfig full = TestVmConfig();
  const struct {
    const char* name;
    std::string VmConfig::* field;
  } order[] = {
      {"SandboxID", &VmConfig::sandbox_id},   {"KernelPath", &VmConfig::kernel_path},
      {"RootfsPath", &VmConfig::rootfs_path}, {"NetworkNamespace", &VmConfig::network_namespace},
      {"GuestIP", &VmConfig::guest_ip},       {"GatewayIP", &VmConfig::gateway_ip},
      {"NetMask", &VmConfig::net_mask},
  };
  VmConfig config;
  for (const auto& [name, field] : order) {
    const Status refused = Validate(config);
    ASSERT_FALSE(refused) << name;
    EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
    EXPECT_EQ(refused.error().message, std::string(name) + " is required");
    config.*field = full.*field;
  }
  EXPECT_TRUE(Validate(config));
}

TEST(VmConfigTest, EveryOtherFieldHasADefault) {
  const VmConfig config = WithDefaults(TestVmConfig());
  EXPECT_EQ(config.sandbox_id, "sb-a1b2c3d4");
  EXPECT_EQ(config.kernel_path, "/data/vmlinux");
  EXPECT_EQ(config.rootfs_path, "/dev/mapper/wrenn-sb-a1b2c3d4");
  EXPECT_EQ(config.vcpus, 1);
  EXPECT_EQ(config.memory_mb, 512);
  EXPECT_EQ(config.network_namespace, "ns-1");
  EXPECT_EQ(config.tap_device, "tap0");
  EXPECT_EQ(config.tap_mac, "02:FC:00:00:00:05");
  EXPECT_EQ(config.guest_ip, "169.254.0.21");
  EXPECT_EQ(config.gateway_ip, "169.254.0.22");
  EXPECT_EQ(config.net_mask, "255.255.255.252");
  EXPECT_EQ(config.firecracker_bin, "/usr/local/bin/firecracker");
  EXPECT_EQ(config.socket_path, "/tmp/fc-sb-a1b2c3d4.sock");
  EXPECT_EQ(config.sandbox_dir, "/tmp/fc-vm");
  EXPECT_EQ(config.init_path, "/usr/local/bin/wrenn-init");
}

TEST(VmConfigTest, WhatIsSetStays) {
  VmConfig set = TestVmConfig();
  set.vcpus = 4;
  set.memory_mb = 2048;
  set.tap_device = "tap7";
  set.tap_mac = "02:FC:00:00:00:07";
  set.firecracker_bin = "/opt/fc";
  set.socket_path = "/run/w/api.sock";
  set.sandbox_dir = "/run/vm";
  set.init_path = "/sbin/init";
  const VmConfig config = WithDefaults(set);
  EXPECT_EQ(config.vcpus, 4);
  EXPECT_EQ(config.memory_mb, 2048);
  EXPECT_EQ(config.tap_device, "tap7");
  EXPECT_EQ(config.tap_mac, "02:FC:00:00:00:07");
  EXPECT_EQ(config.firecracker_bin, "/opt/fc");
  EXPECT_EQ(config.socket_path, "/run/w/api.sock");
  EXPECT_EQ(config.sandbox_dir, "/run/vm");
  EXPECT_EQ(config.init_path, "/sbin/init");
}

TEST(VmConfigTest, FirecrackerIsGivenTheSamePathsInEveryVm) {
  const VmConfig config = WithDefaults(TestVmConfig());
  EXPECT_EQ(KernelLink(config), "/tmp/fc-vm/vmlinux");
  EXPECT_EQ(RootfsLink(config), "/tmp/fc-vm/rootfs.ext4");
}

TEST(VmConfigTest, CommandLineOfTheKernel) {
  EXPECT_EQ(KernelArguments(WithDefaults(TestVmConfig())),
            "console=ttyS0 reboot=k panic=1 pci=off quiet loglevel=1 "
            "init=/usr/local/bin/wrenn-init "
            "ip=169.254.0.21::169.254.0.22:255.255.255.252:sandbox:eth0:off");
}

TEST(VmConfigTest, AdditionsComeBehindIt) {
  const VmConfig config = WithDefaults(TestVmConfig());
  const std::string line = KernelArguments(config);
  EXPECT_EQ(KernelArguments(config, {}), line);
  EXPECT_EQ(KernelArguments(config, {.emulated_tsc_khz = 2596096}),
            line + " " + EmulatedKernelArguments(2596096));
  EXPECT_EQ(
      KernelArguments(config,
                      {.emulated_tsc_khz = 1, .dns = "169.254.0.22", .ip6 = "f::2/126,f::1"}),
      line + " " + EmulatedKernelArguments(1) + " wrenn.dns=169.254.0.22 wrenn.ip6=f::2/126,f::1");
}

}  // namespace
}  // namespace wrenn::vmm
