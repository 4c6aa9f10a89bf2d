#include "cli/doctor/probes.h"
#include "vmm/firecracker/engine.h"

namespace wrenn::cli::doctor {

Check ProbeFirecracker(const std::string& binary, bool guests_run) {
  Check check("firecracker");
  const auto engine = vmm::MakeFirecrackerEngine({binary});
  if (!engine) {
    check.verdict = Verdict::kLimited;
    check.finding = engine.error().message;  // with the remedy
    check.consequence = "serve --engine firecracker cannot be used; --engine qemu is not affected";
    return check;
  }
  check.finding =
      fmt::format("Firecracker {}, and programs can be jailed", (*engine)->info().version);
  if (!guests_run) {
    check.verdict = Verdict::kLimited;
    check.finding += ", but no guest has run with KVM here";
    check.consequence = "serve --engine firecracker may start, and its sandboxes not";
    check.remedy = "see 'kvm'";
    return check;
  }
  check.consequence =
      "serve --engine firecracker can be used, without pause, fork and snapshots for now";
  if (!TryCgroup()) {
    check.verdict = Verdict::kLimited;
    check.consequence += "; nothing limits its memory, processors and processes on the host";
    check.remedy = "see 'cgroup v2'";
  }
  return check;
}

}  // namespace wrenn::cli::doctor
