#include "cli/doctor/probes.h"
#include "vmm/firecracker/engine.h"

namespace wrenn::cli::doctor {

Check ProbeFirecracker(const std::string& binary) {
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
  check.consequence =
      "serve --engine firecracker can be used, without pause, fork and snapshots for now";
  if (const auto cgroup = TryCgroup(); !cgroup) {
    check.verdict = Verdict::kLimited;
    check.consequence += "; nothing limits its memory, processors and processes on the host";
    check.remedy = "cgroups: see 'cgroup v2'";
  }
  return check;
}

}  // namespace wrenn::cli::doctor
