#include "cli/doctor/report.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "cli/doctor/in_namespaces.h"
#include "cli/doctor/probes.h"
#include "os/files.h"

namespace wrenn::cli::doctor {
namespace {

TEST(Report, OnlyWhatIsRequiredStopsSandboxes) {
  Check limited("kvm");
  limited.verdict = Verdict::kMissing;
  Check required("qemu");
  required.required = true;
  EXPECT_TRUE(CanRun({limited, required}));
  required.verdict = Verdict::kMissing;
  EXPECT_FALSE(CanRun({limited, required}));
}

TEST(Report, SaysWhatFollowsAndTheRemedy) {
  Check check("tun");
  check.verdict = Verdict::kLimited;
  check.finding = "absent";
  check.consequence = "slow";
  check.remedy = "modprobe tun";
  EXPECT_EQ(FormatReport({check}),
            "tun  limited  absent\n"
            "              so: slow\n"
            "              remedy: modprobe tun\n");
  EXPECT_EQ(ToJson({check}).at("checks").at(0).at("status"), "limited");
}

TEST(InNamespaces, TheProbesAnswerComesBack) {
  const Status fine = InNamespaces([] { return Status(); });
  if (!fine) GTEST_SKIP() << fine.error().message;
  const Status failed =
      InNamespaces([]() -> Status { return Fail(Code::kNotFound, "no such thing"); });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, Code::kNotFound);
  EXPECT_EQ(failed.error().message, "no such thing");
}

TEST(Probes, LeaveNothingBehind) {
  const auto folder = os::TemporaryDirectory::Make();
  os::Paths paths;
  paths.root = folder->path() + "/root";
  for (const auto& checks : {ProbeHost(paths), ProbeKernel(), ProbeNetwork(), ProbeNeighbours()}) {
    EXPECT_FALSE(checks.empty());
    for (const Check& check : checks) EXPECT_FALSE(check.finding.empty()) << check.capability;
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder->path()));
  EXPECT_FALSE(os::Exists("/sys/class/net/wrenn-doctor"));
}

TEST(ProbeNeighbours, SaysWhatCanTellOfAGuest) {
  const auto folder = os::TemporaryDirectory::Make();
  const auto write = [&](const std::string& path, const char* text) {
    const std::filesystem::path file = folder->path() + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  };
  const auto swap = [&] { return ProbeNeighbours(folder->path()).at(0); };
  for (const Check& check : ProbeNeighbours(folder->path())) {
    EXPECT_EQ(check.verdict, Verdict::kOk) << check.capability;  // a kernel without any
  }
  write("/proc/swaps", "Filename\tType\tSize\n/dev/zram0 partition 1 0 100\n");
  EXPECT_EQ(swap().verdict, Verdict::kOk);
  write("/proc/swaps",
        "Filename\tType\tSize\n/dev/zram0 partition 1\n/dev/sda2\tpartition 1\n/s file\n");
  EXPECT_EQ(swap().finding, "is on: /dev/sda2, /s");
  write("/sys/kernel/mm/ksm/run", "1\n");
  write("/sys/devices/system/cpu/smt/active", "1\n");
  for (const Check& check : ProbeNeighbours(folder->path())) {
    EXPECT_EQ(check.verdict, Verdict::kLimited) << check.capability;
  }
  write("/sys/kernel/mm/ksm/run", "2\n");
  write("/sys/devices/system/cpu/smt/active", "0\n");
  for (const Check& check : ProbeNeighbours(folder->path())) {
    EXPECT_EQ(check.verdict == Verdict::kLimited, check.capability == "swap") << check.capability;
  }
}

TEST(ProbeFirecracker, SaysWhyItCannotBeUsed) {
  const auto folder = os::TemporaryDirectory::Make();
  const std::string program = folder->path() + "/firecracker";
  Check check = ProbeFirecracker(program, false);
  EXPECT_EQ(check.verdict, Verdict::kLimited);
  EXPECT_FALSE(check.required);
  EXPECT_NE(check.finding.find("is not installed"), std::string::npos) << check.finding;

  std::ofstream(program) << "#!/bin/sh\necho Firecracker v1.4.0\n";
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  check = ProbeFirecracker(program, false);
  EXPECT_EQ(check.verdict, Verdict::kLimited);
  EXPECT_NE(check.finding.find("Firecracker 1.4.0 cannot be used"), std::string::npos)
      << check.finding;
}

}  // namespace
}  // namespace wrenn::cli::doctor
