#include "vmm/qemu/exit_reason.h"

#include "vmm/exit_text.h"

namespace wrenn::vmm {
namespace {

MachineExit FromGuest(const ExitEvidence& evidence) {
  // A panic restarts the machine at once (panic=-1), and every restart ends it (-no-reboot).
  if (const std::string panic = ConsoleLine(evidence.console_tail, "Kernel panic");
      !panic.empty()) {
    return {"guest crashed: " + panic, false};
  }
  if (evidence.shutdown_reason == "guest-shutdown") return {"guest shut down", true};
  if (!ConsoleLine(evidence.console_tail, "reboot: Restarting system").empty()) {
    return {"guest restarted, which ends a sandbox", true};
  }
  return {"guest crashed without a word (triple fault or forced reset)", false};
}

}  // namespace

MachineExit ExplainExit(const ExitEvidence& evidence) {
  if (evidence.disk_error) {
    return {"host disk error: the sandbox's writes could not be stored", false};
  }
  if (!evidence.network_end.empty()) {
    return {"its network ended: " + evidence.network_end, false};
  }
  if (evidence.killed) return {"killed", false};
  if (evidence.shutdown_reason.starts_with("guest")) return FromGuest(evidence);
  if (evidence.status.signal != 0) {
    return {SignalReason(evidence.status, evidence.memory_exhausted, evidence.stderr_tail), false};
  }
  if (evidence.shutdown_reason == "host-signal")
    return {"VMM ended by a signal from the host", false};
  if (!evidence.shutdown_reason.empty()) {
    return {"VMM ended: " + Printable(evidence.shutdown_reason), false};
  }
  return {FailureReason(evidence.status, evidence.stderr_tail), false};
}

}  // namespace wrenn::vmm
