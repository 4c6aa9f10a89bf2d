#include "vmm/qemu/exit_reason.h"

#include <gtest/gtest.h>
#include <signal.h>

namespace wrenn::vmm {
namespace {

ExitEvidence Ended(int code, int signal = 0) {
  ExitEvidence evidence;
  evidence.status = {true, code, signal};
  return evidence;
}

TEST(ExitReasonTest, GuestsOwnEnd) {
  ExitEvidence evidence = Ended(0);
  evidence.shutdown_reason = "guest-shutdown";
  EXPECT_EQ(ExplainExit(evidence).reason, "guest shut down");
  EXPECT_TRUE(ExplainExit(evidence).clean);
  evidence.shutdown_reason = "guest-reset";
  EXPECT_FALSE(ExplainExit(evidence).clean);
  evidence.console_tail = "[    5.1] reboot: Restarting system\r\n";
  EXPECT_EQ(ExplainExit(evidence).reason, "guest restarted, which ends a sandbox");
  EXPECT_TRUE(ExplainExit(evidence).clean);
  evidence.console_tail =
      "[    5.4] Kernel panic - not syncing: Attempted to kill init!\x1b exitcode=0x100\r\nCPU: "
      "0\r\n";
  EXPECT_EQ(ExplainExit(evidence).reason,
            "guest crashed: Kernel panic - not syncing: Attempted to kill init! exitcode=0x100");
  EXPECT_FALSE(ExplainExit(evidence).clean);
}

TEST(ExitReasonTest, VmmsEnd) {
  EXPECT_EQ(ExplainExit(Ended(1)).reason, "VMM failed: exit code 1");
  ExitEvidence evidence = Ended(1);
  evidence.stderr_tail = "warning\nqemu: could not open disk\n\n";
  EXPECT_EQ(ExplainExit(evidence).reason, "VMM failed: exit code 1: qemu: could not open disk");
  evidence = Ended(0, SIGKILL);
  EXPECT_EQ(ExplainExit(evidence).reason, "VMM killed by signal 9 (Killed)");
  evidence.memory_exhausted = true;
  EXPECT_NE(ExplainExit(evidence).reason.find("ran out of memory"), std::string::npos);
  evidence.killed = true;
  EXPECT_EQ(ExplainExit(evidence).reason, "killed");
  EXPECT_EQ(ExplainExit(ExitEvidence()).reason, "VMM ended for an unknown reason");
  evidence = Ended(0);
  evidence.shutdown_reason = "host-qmp-quit";
  EXPECT_EQ(ExplainExit(evidence).reason, "VMM ended: host-qmp-quit");
}

TEST(ExitReasonTest, TellsWhatTheHostTookAway) {
  ExitEvidence evidence = Ended(0, SIGKILL);
  evidence.network_end = "exit code 1";
  EXPECT_EQ(ExplainExit(evidence).reason, "its network ended: exit code 1");
  evidence.disk_error = true;
  EXPECT_TRUE(ExplainExit(evidence).reason.starts_with("host disk error"));
}

}  // namespace
}  // namespace wrenn::vmm
