#include "vmm/qemu/fingerprint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "vmm/qemu/test_config.h"

namespace wrenn::vmm {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* kBuild = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)";

// One that can be frozen.
MachineConfig Config() {
  MachineConfig config = TestConfig();
  config.memory = config.directory + "/memory.empty";
  return config;
}

HostFacts Emulated() {
  HostFacts facts;
  facts.tsc_khz = 2'596'132;
  return facts;
}

// The fingerprint with something else.
json::object With(const std::function<void(MachineConfig&, HostFacts&)>& change,
                  const std::string& build = kBuild) {
  MachineConfig config = Config();
  HostFacts facts = Emulated();
  change(config, facts);
  return QemuFingerprint(config, facts, build);
}

json::object Plain() {
  return With([](MachineConfig&, HostFacts&) {});
}

// What is said about a snapshot that was made with `kept`, here; nothing when it fits.
std::string Compare(const json::object& kept, const json::object& here) {
  const Status same = CompareFingerprints(kept, here);
  if (same) return "";
  EXPECT_EQ(same.error().code, Code::kFailedPrecondition);
  return same.error().message;
}

std::string Text(const json::object& print, std::string_view name) {
  return std::string(print.at(name).as_string());
}

TEST(FingerprintTest, SaysWhatItIs) {
  const json::object print = Plain();
  EXPECT_EQ(print.size(), 6u);
  EXPECT_EQ(Text(print, "engine"), "qemu");
  EXPECT_EQ(Text(print, "build"), kBuild);
  EXPECT_EQ(Text(print, "acceleration"), "tcg");
  EXPECT_EQ(Text(print, "cpu"), "emulated");
  EXPECT_EQ(print.at("machine").as_string().size(), 64u);
  EXPECT_EQ(print.at("tsc_khz").to_number<uint32_t>(), 2'596'132u);
  EXPECT_EQ(Compare(print, Plain()), "");
  // As it comes back from a manifest.
  EXPECT_EQ(Compare(*ParseJsonObject(json::serialize(print)), print), "");
}

TEST(FingerprintTest, NamesAndPathsDoNotMatter) {
  const json::object same = With([](MachineConfig& config, HostFacts& facts) {
    config.id = "sb-another";
    config.directory = "/elsewhere/x,y";
    config.runtime_directory = "/elsewhere/run";
    config.memory = "/elsewhere/memory-0123456789abcdefghij";
    config.kernel = "";
    config.initramfs = "";
    config.disk = "/elsewhere/disk-b.qcow2";
    config.passing = true;
    facts.binary = "/opt/qemu/bin/qemu-system-x86_64";
    facts.kernel_log = true;
    facts.readonly_memory = true;
  });
  EXPECT_EQ(same, Plain());
}

// The snapshot of a machine that booted on a whole copy is restored on a layer over that, and that
// of one on a block device where there are none.
TEST(FingerprintTest, TheFormatOfTheTopLayerDoesNotMatter) {
  for (const char* disk : {"/data/disk-a.raw", "/dev/mapper/wrenn-sb-a"}) {
    const json::object raw = With([disk](MachineConfig& config, HostFacts&) {
      config.disk = disk;
      config.disk_format = DiskFormat::kRaw;
    });
    EXPECT_EQ(raw, Plain());
  }
}

TEST(FingerprintTest, ProcessorsMemoryAndDevicesMatter) {
  const std::vector<std::function<void(MachineConfig&, HostFacts&)>> changes = {
      [](MachineConfig& config, HostFacts&) { config.vcpus = 1; },
      [](MachineConfig& config, HostFacts&) { config.memory_mb = 513; },
      [](MachineConfig& config, HostFacts&) { config.network = true; },
      [](MachineConfig& config, HostFacts&) { config.disk.clear(); },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    SCOPED_TRACE(i);
    const json::object other = With(changes[i]);
    EXPECT_NE(other.at("machine"), Plain().at("machine"));
    const char* message =
        "the snapshot was made of a machine with other processors, memory or devices";
    EXPECT_EQ(Compare(Plain(), other), message);
    EXPECT_EQ(Compare(other, Plain()), message);
  }
}

TEST(FingerprintTest, NamesTheFirstThingThatDiffers) {
  const json::object here = Plain();
  json::object kept = here;
  kept["tsc_khz"] = 1'000'000;
  EXPECT_EQ(Compare(kept, here),
            "the snapshot's guest counts time at 1000000 kHz, this host runs at 2596132");
  kept["machine"] = "0";
  EXPECT_THAT(Compare(kept, here), HasSubstr("other processors, memory or devices"));
  kept["cpu"] = "Some Processor 1234";
  EXPECT_EQ(Compare(kept, here),
            "the snapshot was made with the processor 'Some Processor 1234', here it is "
            "'emulated'");
  kept["acceleration"] = "kvm";
  EXPECT_EQ(Compare(kept, here),
            "the snapshot was made with the acceleration 'kvm', here it is 'tcg'");
  kept["build"] = "QEMU emulator version 8.2.0";
  EXPECT_EQ(Compare(kept, here),
            fmt::format("the snapshot was made with the QEMU 'QEMU emulator version 8.2.0', here "
                        "it is '{}'",
                        kBuild));
  kept["engine"] = "firecracker";
  EXPECT_EQ(Compare(kept, here),
            "the snapshot was made with the engine 'firecracker', here it is 'qemu'");
}

// The same version may be built twice.
TEST(FingerprintTest, TheExactBuildMatters) {
  const json::object other = With([](MachineConfig&, HostFacts&) {},
                                  "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u19)");
  EXPECT_THAT(Compare(Plain(), other), HasSubstr("deb12u18"));
}

TEST(FingerprintTest, TheRateOfTimeMayDifferByAThousandth) {
  const auto at = [](int khz) {
    return With(
        [khz](MachineConfig&, HostFacts& facts) { facts.tsc_khz = static_cast<uint32_t>(khz); });
  };
  const json::object here = at(2'000'000);
  for (const int good : {1'998'000, 1'999'999, 2'000'000, 2'000'001, 2'002'000}) {
    EXPECT_EQ(Compare(at(good), here), "") << good;
  }
  for (const int bad : {0, 1'997'999, 2'002'001, 4'000'000}) {
    EXPECT_THAT(Compare(at(bad), here), HasSubstr("counts time at")) << bad;
  }
}

TEST(FingerprintTest, WhatIsAbsentOrOfAnotherTypeIsNotTheSame) {
  const json::object here = Plain();
  EXPECT_THAT(Compare({}, here), HasSubstr("the engine ''"));
  for (const auto& member : here) {
    for (const json::value& value : {json::value(nullptr), json::value(json::array{1}),
                                     json::value(json::object{}), json::value(true)}) {
      json::object kept = here;
      kept[member.key()] = value;
      EXPECT_NE(Compare(kept, here), "") << member.key() << value;
    }
    json::object kept = here;
    kept.erase(member.key());
    EXPECT_NE(Compare(kept, here), "") << member.key();
  }
}

TEST(FingerprintTest, UnderKvmTheProcessorIsTheHosts) {
  const json::object print = With([](MachineConfig&, HostFacts& facts) { facts.kvm = true; });
  EXPECT_EQ(Text(print, "acceleration"), "kvm");
  EXPECT_EQ(Text(print, "cpu"), HostCpu());
  // Its model and 16 digits for its flags.
  const std::string cpu = HostCpu();
  ASSERT_GT(cpu.size(), 17u);
  EXPECT_EQ(cpu.find_first_not_of("0123456789abcdef", cpu.size() - 16), std::string::npos) << cpu;
  EXPECT_EQ(cpu, HostCpu());
  EXPECT_THAT(Compare(print, Plain()), StartsWith("the snapshot was made with the acceleration"));
}

}  // namespace
}  // namespace wrenn::vmm
