#include "vmm/qemu/exit_reason.h"

#include <signal.h>

namespace wrenn::vmm {
namespace {

std::string Printable(std::string_view line) {
  std::string text;
  for (const char c : line) {
    if (static_cast<unsigned char>(c) >= ' ' && c != '\x7f') text.push_back(c);
  }
  return text.substr(0, 200);
}

// The line of the console that begins with a mark (after the time), from the mark on; empty when
// there is none.
std::string ConsoleLine(std::string_view console, std::string_view mark) {
  const size_t begin = console.rfind(mark);
  if (begin == std::string_view::npos) return {};
  const std::string_view rest = console.substr(begin);
  return Printable(rest.substr(0, rest.find_first_of("\r\n")));
}

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

MachineExit FromSignal(const ExitEvidence& evidence) {
  std::string reason = "VMM " + evidence.status.ToString();
  if (evidence.status.signal == SIGKILL && evidence.memory_exhausted) {
    reason += ", probably by the kernel because the host ran out of memory";
  } else if (const std::string last = LastLine(evidence.stderr_tail); !last.empty()) {
    reason += ": " + last;
  }
  return {reason, false};
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
  if (evidence.status.signal != 0) return FromSignal(evidence);
  if (evidence.shutdown_reason == "host-signal")
    return {"VMM ended by a signal from the host", false};
  if (!evidence.shutdown_reason.empty()) {
    return {"VMM ended: " + Printable(evidence.shutdown_reason), false};
  }
  if (!evidence.status.known) return {"VMM ended for an unknown reason", false};
  const std::string last = LastLine(evidence.stderr_tail);
  return {
      fmt::format("VMM failed: {}{}{}", evidence.status.ToString(), last.empty() ? "" : ": ", last),
      false};
}

}  // namespace wrenn::vmm
