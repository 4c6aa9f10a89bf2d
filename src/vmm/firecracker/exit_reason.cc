#include "vmm/firecracker/exit_reason.h"

#include "vmm/exit_text.h"

namespace wrenn::vmm {
namespace {

// What ends a Firecracker besides the guest, by its exit code; nullptr for others.
const char* CodeReason(int code) {
  switch (code) {
    case 148:
      return "VMM ended itself: it made a system call that its own filter forbids";
    case 149:
      return "VMM ended itself at a bus error: what the guest's memory or disk is on failed";
    case 150:
      return "VMM ended itself at a segmentation fault";
    case 151:
      return "VMM ended itself: a file would have become larger than it may";
    case 152:
      return "VMM refused its configuration";
    case 153:
      return "VMM refused its arguments";
    case 154:
      return "VMM ended itself: it has used up the CPU time that it may";
    case 155:
      return "VMM ended itself at a broken pipe";
    case 156:
      return "VMM ended itself at a hang-up";
    case 157:
      return "VMM ended itself at an illegal instruction";
    default:
      return nullptr;
  }
}

}  // namespace

MachineExit ExplainFirecrackerExit(const FirecrackerEvidence& evidence) {
  if (evidence.killed) return {"killed", false};
  if (evidence.status.signal != 0) {
    return {SignalReason(evidence.status, evidence.memory_exhausted, evidence.messages_tail),
            false};
  }
  // A panic restarts the machine (panic=1), and every restart ends it, with code 0.
  if (const std::string panic = ConsoleLine(evidence.console_tail, "Kernel panic");
      !panic.empty()) {
    return {"guest crashed: " + panic, false};
  }
  if (evidence.status.known && evidence.status.code == 0) {
    // Our init's last word (guest/init/shutdown.cc).
    if (!ConsoleLine(evidence.console_tail, "wrenn-init: the machine ends").empty()) {
      return {"guest shut down", true};
    }
    return {"guest crashed without a word (triple fault or forced reset)", false};
  }
  if (const char* reason = evidence.status.known ? CodeReason(evidence.status.code) : nullptr) {
    const std::string last = LastLine(evidence.messages_tail);
    return {last.empty() ? reason : fmt::format("{}: {}", reason, last), false};
  }
  return {FailureReason(evidence.status, evidence.messages_tail), false};
}

}  // namespace wrenn::vmm
