#include "vmm/firecracker/exit_reason.h"

#include <gtest/gtest.h>
#include <signal.h>

namespace wrenn::vmm {
namespace {

FirecrackerEvidence Exited(int code) {
  FirecrackerEvidence evidence;
  evidence.status.known = true;
  evidence.status.code = code;
  return evidence;
}

TEST(FirecrackerExitTest, OnlyTheGuestsOwnWordMakesItsEndClean) {
  FirecrackerEvidence evidence = Exited(0);
  EXPECT_FALSE(ExplainFirecrackerExit(evidence).clean);
  EXPECT_EQ(ExplainFirecrackerExit(evidence).reason,
            "guest crashed without a word (triple fault or forced reset)");
  evidence.console_tail = "hello\r\nwrenn-init: the machine ends\r\n";
  EXPECT_TRUE(ExplainFirecrackerExit(evidence).clean);
  EXPECT_EQ(ExplainFirecrackerExit(evidence).reason, "guest shut down");
  evidence.console_tail += "Kernel panic - not syncing: sysrq\x1b triggered crash\r\nmore";
  EXPECT_FALSE(ExplainFirecrackerExit(evidence).clean);
  EXPECT_EQ(ExplainFirecrackerExit(evidence).reason,
            "guest crashed: Kernel panic - not syncing: sysrq triggered crash");
}

TEST(FirecrackerExitTest, CodesAndSignals) {
  FirecrackerEvidence evidence = Exited(148);
  evidence.messages_tail = "[ERROR] Shutting down VM after intercepting a bad syscall (41).\n";
  EXPECT_EQ(ExplainFirecrackerExit(evidence).reason,
            "VMM ended itself: it made a system call that its own filter forbids: [ERROR] Shutting "
            "down VM after intercepting a bad syscall (41).");
  EXPECT_EQ(ExplainFirecrackerExit(Exited(153)).reason, "VMM refused its arguments");
  EXPECT_EQ(ExplainFirecrackerExit(Exited(1)).reason, "VMM failed: exit code 1");

  FirecrackerEvidence killed;
  killed.status.known = true;
  killed.status.signal = SIGKILL;
  EXPECT_EQ(ExplainFirecrackerExit(killed).reason, "VMM killed by signal 9 (Killed)");
  killed.memory_exhausted = true;
  EXPECT_NE(ExplainFirecrackerExit(killed).reason.find("ran out of memory"), std::string::npos);
  killed.killed = true;
  EXPECT_EQ(ExplainFirecrackerExit(killed).reason, "killed");
  EXPECT_EQ(ExplainFirecrackerExit(FirecrackerEvidence()).reason,
            "VMM ended for an unknown reason");
}

}  // namespace
}  // namespace wrenn::vmm
