#include "vmm/firecracker/layout.h"

#include <gtest/gtest.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "vmm/firecracker/machine.h"

namespace wrenn::vmm {
namespace {

MachineConfig Config() {
  MachineConfig config;
  config.id = "sb-a1b2c3d4";
  config.directory = "/data/sandboxes/sb-a1b2c3d4";
  config.runtime_directory = "/run/wrenn/sb/sb-a1b2c3d4";
  config.vcpus = 2;
  config.memory_mb = 256;
  config.kernel = "/data/kernels/k/vmlinux";
  config.initramfs = "/data/kernels/k/initramfs";
  config.disk = "/dev/mapper/wrenn-sb-a1b2c3d4";
  config.net_namespace = "/run/wrenn/slots/wrenn-7";
  config.user = 1879048199;
  config.disk_rate.operations = 50;
  return config;
}

FirecrackerFacts Facts() { return {"/opt/firecracker", {1, 12, 1}, 2'500'000}; }

TEST(FirecrackerLayoutTest, TheSameInEverySlotAndForEverySandbox) {
  const VmConfig vm = FirecrackerConfig(Config());
  EXPECT_TRUE(Validate(vm));
  EXPECT_EQ(vm.tap_device, "tap0");
  EXPECT_EQ(vm.tap_mac, "02:FC:00:00:00:05");
  EXPECT_EQ(vm.guest_ip, "169.254.0.21");
  EXPECT_EQ(vm.gateway_ip, "169.254.0.22");
  EXPECT_EQ(vm.net_mask, "255.255.255.252");
  EXPECT_EQ(vm.sandbox_dir, "/tmp/fc-vm");
  EXPECT_EQ(vm.socket_path, "/run/api.sock");
  const BootOptions options = FirecrackerOptions(Config(), Facts());
  EXPECT_EQ(options.vsock_path, "/run/vsock.sock");
  EXPECT_EQ(options.kernel.dns, "169.254.0.22");
  EXPECT_EQ(options.disk.operations, 50);
  EXPECT_EQ(FirecrackerArguments(Config()),
            (std::vector<std::string>{"/firecracker", "--id", "sb-a1b2c3d4", "--api-sock",
                                      "/run/api.sock"}));
}

TEST(FirecrackerLayoutTest, TheJailHoldsOnlyWhatItNeeds) {
  const os::Jail jail = FirecrackerJail(Config(), Facts(), makedev(254, 3), 9);
  EXPECT_EQ(jail.uid, 1879048199u);
  EXPECT_EQ(jail.gid, 1879048199u);
  EXPECT_EQ(jail.net_namespace, 9);
  EXPECT_TRUE(jail.folders.empty());
  const auto writable = [](const os::Jail::Bind& bind) { return bind.writable; };
  ASSERT_EQ(std::ranges::count_if(jail.binds, writable), 1);
  EXPECT_EQ(std::ranges::find_if(jail.binds, writable)->from, Config().runtime_directory);
  ASSERT_EQ(jail.links.size(), 2u);
  EXPECT_EQ(jail.links[0].path, "/tmp/fc-vm/vmlinux");
  EXPECT_EQ(jail.links[1].path, "/tmp/fc-vm/rootfs.ext4");
  EXPECT_EQ(jail.links[1].target, jail.devices.back().path);
  EXPECT_EQ(jail.devices.back().device, makedev(254, 3));
  EXPECT_TRUE(jail.devices.back().block);
}

TEST(FirecrackerLayoutTest, AFileAsDiskIsTheOnlyOtherThingThatItMayWrite) {
  MachineConfig config = Config();
  config.disk = "/data/sandboxes/sb-a1b2c3d4/disk.raw";
  const os::Jail jail = FirecrackerJail(config, Facts(), std::nullopt, 9);
  EXPECT_EQ(jail.binds.back().from, config.disk);
  EXPECT_EQ(jail.binds.back().to, jail.links[1].target);
  EXPECT_TRUE(jail.binds.back().writable);
  const auto is_block = [](const os::Jail::Device& device) { return device.block; };
  EXPECT_FALSE(std::ranges::any_of(jail.devices, is_block));
}

TEST(FirecrackerRecordTest, RefusesBrokenAndForeignOnes) {
  const json::object good{
      {"engine", "firecracker"}, {"pid", 12}, {"start_time", 7}, {"boot_id", "b"}};
  const auto record = ParseFirecrackerRecord(good);
  ASSERT_TRUE(record) << record.error().ToString();
  EXPECT_EQ(record->vmm.pid, 12);
  EXPECT_EQ(record->vmm.start_time, 7u);
  for (const char* field : {"pid", "boot_id", "engine"}) {
    json::object broken = good;
    broken.erase(field);
    EXPECT_EQ(ParseFirecrackerRecord(broken).error().code, Code::kInvalidArgument) << field;
  }
  json::object foreign = good;
  foreign["engine"] = "qemu";
  const auto refused = ParseFirecrackerRecord(foreign);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kFailedPrecondition);
  EXPECT_NE(refused.error().message.find("--engine qemu"), std::string::npos);
}

}  // namespace
}  // namespace wrenn::vmm
