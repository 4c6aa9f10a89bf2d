#include "vmm/qemu/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/json.h"
#include "vmm/qemu/test_config.h"
#include "vmm/tsc.h"

namespace wrenn::vmm {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

HostFacts Emulated() { return {"qemu-system-x86_64", false, 2596132, false}; }

// The argument behind an option.
std::string After(const std::vector<std::string>& argv, const std::string& option) {
  const auto found = std::ranges::find(argv, option);
  return found == argv.end() || found + 1 == argv.end() ? "" : *(found + 1);
}

// The argument behind the n-th -blockdev, -netdev, ... that contains a text.
bool HasPair(const std::vector<std::string>& argv, const std::string& option,
             const std::string& value) {
  for (size_t i = 0; i + 1 < argv.size(); ++i) {
    if (argv[i] == option && argv[i + 1] == value) return true;
  }
  return false;
}

TEST(QemuCommandLineTest, EmulatedMachine) {
  const auto argv = QemuCommandLine(TestConfig(), Emulated());
  EXPECT_EQ(argv[0], "qemu-system-x86_64");
  EXPECT_EQ(After(argv, "-name"), "wrenn-sb-abc");
  EXPECT_EQ(After(argv, "-M"),
            "microvm,acpi=on,x-option-roms=off,isa-serial=on,rtc=off,memory-backend=mem,"
            "suppress-vmdesc=on");
  EXPECT_EQ(After(argv, "-accel"), "tcg,thread=multi,tb-size=32");
  EXPECT_EQ(After(argv, "-cpu"), "max,-erms,-fsrm");
  EXPECT_EQ(After(argv, "-smp"), "2");
  EXPECT_EQ(After(argv, "-m"), "512M");
  EXPECT_TRUE(HasPair(argv, "-object", "memory-backend-memfd,id=mem,size=512M,share=on"));
  EXPECT_EQ(After(argv, "-sandbox"),
            "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
  for (const char* flag : {"-nodefaults", "-no-user-config", "-no-reboot"}) {
    EXPECT_THAT(argv, Contains(flag));
  }
  EXPECT_EQ(After(argv, "-kernel"), "/data/kernels/k/vmlinux");
  EXPECT_EQ(After(argv, "-initrd"), "/data/kernels/k/initramfs");
  EXPECT_THAT(argv, Not(Contains("-netdev")));
}

TEST(QemuCommandLineTest, SocketsAreInheritedListeners) {
  const auto argv = QemuCommandLine(TestConfig(), Emulated());
  EXPECT_TRUE(HasPair(argv, "-chardev", "socket,id=qmp,fd=3,server=on,wait=off"));
  EXPECT_TRUE(HasPair(argv, "-chardev", "socket,id=console,fd=4,server=on,wait=off"));
  EXPECT_TRUE(HasPair(argv, "-chardev", "socket,id=agent0,fd=5,server=on,wait=off"));
  EXPECT_TRUE(HasPair(argv, "-chardev", "socket,id=agent1,fd=6,server=on,wait=off"));
  EXPECT_EQ(After(argv, "-mon"), "chardev=qmp,mode=control");
  EXPECT_EQ(After(argv, "-serial"), "chardev:console");
  EXPECT_TRUE(HasPair(argv, "-device",
                      "virtserialport,bus=serial0.0,nr=1,chardev=agent0,name=wrenn.agent.0"));
  EXPECT_TRUE(HasPair(argv, "-device",
                      "virtserialport,bus=serial0.0,nr=2,chardev=agent1,name=wrenn.agent.1"));
}

TEST(QemuCommandLineTest, DiskPathsNeedNoEscaping) {
  MachineConfig config = TestConfig();
  config.disk = "/data/a,b=\"c\"/disk.raw";
  config.disk_format = DiskFormat::kRaw;
  const auto node = ParseJsonObject(After(QemuCommandLine(config, Emulated()), "-blockdev"));
  ASSERT_TRUE(node);
  EXPECT_EQ(node->at("driver").as_string(), "raw");
  EXPECT_EQ(node->at("file").at("filename").as_string(), "/data/a,b=\"c\"/disk.raw");
  EXPECT_EQ(node->at("file").at("driver").as_string(), "file");
  config.disk_format = DiskFormat::kQcow2;
  EXPECT_THAT(After(QemuCommandLine(config, Emulated()), "-blockdev"),
              HasSubstr("\"driver\":\"qcow2\""));
  config.disk.clear();
  const auto argv = QemuCommandLine(config, Emulated());
  EXPECT_THAT(argv, Not(Contains("-blockdev")));
  EXPECT_THAT(After(argv, "-append"), Not(HasSubstr("root=")));
}

TEST(QemuCommandLineTest, BlockDevicesAreDisks) {
  MachineConfig config = TestConfig();
  config.disk = "/dev/mapper/wrenn-sb-0123456789abcdefghij";
  config.disk_format = DiskFormat::kRaw;
  const auto argv = QemuCommandLine(config, Emulated());
  const auto node = ParseJsonObject(After(argv, "-blockdev"));
  ASSERT_TRUE(node);
  EXPECT_EQ(node->at("driver").as_string(), "raw");
  EXPECT_EQ(node->at("file").at("driver").as_string(), "host_device");
  EXPECT_EQ(node->at("file").at("filename").as_string(), config.disk);
  // QEMU takes no longer names.
  EXPECT_LE(node->at("node-name").as_string().size(), 31u);
  EXPECT_TRUE(HasPair(argv, "-device",
                      "virtio-blk-device,id=blk0,drive=wrenn-sb-0123456789abcdefghij,"
                      "werror=stop,rerror=report"));
}

TEST(QemuCommandLineTest, MemoryIsAPrivateMappingOfItsBase) {
  MachineConfig config = TestConfig();
  config.memory = "/data/a,b/memory.empty";
  HostFacts facts = Emulated();
  const auto backend = [&]() -> json::object {
    const auto argv = QemuCommandLine(config, facts);
    for (size_t i = 0; i + 1 < argv.size(); ++i) {
      if (argv[i] != "-object" || argv[i + 1].front() != '{') continue;
      if (auto object = ParseJsonObject(argv[i + 1])) return *object;
    }
    return {};
  };
  json::object expected{{"qom-type", "memory-backend-file"},
                        {"id", "mem"},
                        {"size", int64_t{512} << 20},
                        {"mem-path", "/data/a,b/memory.empty"},
                        {"share", false}};
  EXPECT_EQ(backend(), expected);
  // Newer ones need not be able to write to the file.
  facts.readonly_memory = true;
  expected["readonly"] = true;
  expected["rom"] = "off";
  EXPECT_EQ(backend(), expected);
}

TEST(QemuCommandLineTest, ARestoredMachineWaitsForItsState) {
  const auto argv = QemuCommandLine(TestConfig(), Emulated(), Start::kRestore);
  EXPECT_THAT(argv, Contains("-S"));
  EXPECT_EQ(After(argv, "-incoming"), "defer");
  EXPECT_TRUE(HasPair(argv, "-global", "migration.send-configuration=off"));
  for (const char* option : {"-kernel", "-initrd", "-append"}) {
    EXPECT_THAT(argv, Not(Contains(option)));
  }
}

TEST(QemuCommandLineTest, DiskNodesAreNamedAfterTheirFiles) {
  MachineConfig config = TestConfig();
  config.disk = "/data/disk-0123456789abcdefghij.qcow2";
  const auto argv = QemuCommandLine(config, Emulated());
  EXPECT_EQ(ParseJsonObject(After(argv, "-blockdev"))->at("node-name").as_string(),
            "disk-0123456789abcdefghij");
  EXPECT_TRUE(HasPair(argv, "-device",
                      "virtio-blk-device,id=blk0,drive=disk-0123456789abcdefghij,werror=stop,"
                      "rerror=report"));
}

TEST(QemuCommandLineTest, Kvm) {
  HostFacts facts = Emulated();
  facts.kvm = true;
  const auto argv = QemuCommandLine(TestConfig(), facts);
  EXPECT_EQ(After(argv, "-accel"), "kvm");
  EXPECT_EQ(After(argv, "-cpu"), "host");
  EXPECT_THAT(After(argv, "-append"), Not(HasSubstr("tsc")));
}

TEST(QemuCommandLineTest, UserNetwork) {
  MachineConfig config = TestConfig();
  config.network = true;
  const auto argv = QemuCommandLine(config, Emulated());
  const auto netdev = ParseJsonObject(After(argv, "-netdev"));
  ASSERT_TRUE(netdev);
  EXPECT_EQ(netdev->at("type").as_string(), "stream");
  EXPECT_EQ(netdev->at("addr").at("str").as_string(), "7");
  EXPECT_THAT(After(argv, "-append"),
              HasSubstr(" ip=169.254.0.21::169.254.0.22:255.255.255.252:sandbox:eth0:off "
                        "wrenn.dns=169.254.0.22"));
}

TEST(QemuCommandLineTest, ASlotsNetworkDiffersInItsBackendAndFamilies) {
  MachineConfig config = TestConfig();
  config.network = true;
  auto user = QemuCommandLine(config, Emulated());
  config.net_namespace = "/run/w/slots/wrenn-7";
  auto slot = QemuCommandLine(config, Emulated());
  const auto netdev = ParseJsonObject(After(slot, "-netdev"));
  ASSERT_TRUE(netdev);
  EXPECT_EQ(netdev->at("type").as_string(), "tap");
  EXPECT_EQ(netdev->at("fd").as_string(), "7");
  EXPECT_TRUE(
      HasPair(slot, "-device", "virtio-net-device,id=eth0,netdev=net0,mac=02:FC:00:00:00:05"));
  // A slot has IPv6, too. (What was restored keeps what it booted with.)
  EXPECT_EQ(After(slot, "-append"),
            After(user, "-append") + " wrenn.ip6=fd77:7265:6e6e::2/126,fd77:7265:6e6e::1");
  for (const char* option : {"-netdev", "-append"}) {
    std::erase(user, After(user, option));
    std::erase(slot, After(slot, option));
  }
  EXPECT_EQ(user, slot);
}

TEST(QemuCommandLineTest, InAJailItsProgramAndFirmwareAreElsewhere) {
  MachineConfig config = TestConfig();
  config.user = 0x70000007;
  const auto argv = QemuCommandLine(config, Emulated());
  EXPECT_EQ(argv[0], "/qemu-system-x86_64");
  EXPECT_EQ(After(argv, "-L"), "/firmware");
  EXPECT_EQ(After(argv, "-kernel"), config.kernel);
}

TEST(KernelCommandLineTest, EmulationGivesTheClock) {
  EXPECT_EQ(KernelCommandLine(TestConfig(), Emulated()),
            "console=ttyS0 panic=-1 reboot=t quiet tsc_early_khz=2596132 no_timer_check "
            "tsc=reliable mitigations=off psi=0 audit=0 lsm=capability root=/dev/vda rw "
            "wrenn.hostname=sandbox");
  HostFacts facts = Emulated();
  facts.kernel_log = true;
  EXPECT_THAT(KernelCommandLine(TestConfig(), facts), HasSubstr(" loglevel=7 "));
}

TEST(HostTscTest, IsPlausibleAndStable) {
  const uint32_t khz = HostTscKhz();
  EXPECT_GT(khz, 500'000u);
  EXPECT_LT(khz, 10'000'000u);
  EXPECT_EQ(HostTscKhz(), khz);
}

}  // namespace
}  // namespace wrenn::vmm
