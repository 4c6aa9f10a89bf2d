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
  for (const auto& checks : {ProbeHost(paths), ProbeKernel(), ProbeNetwork()}) {
    EXPECT_FALSE(checks.empty());
    for (const Check& check : checks) EXPECT_FALSE(check.finding.empty()) << check.capability;
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder->path()));
  EXPECT_FALSE(os::Exists("/sys/class/net/wrenn-doctor"));
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
