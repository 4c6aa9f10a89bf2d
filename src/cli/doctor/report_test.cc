#include "cli/doctor/report.h"

#include <gtest/gtest.h>

#include <filesystem>

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

}  // namespace
}  // namespace wrenn::cli::doctor
