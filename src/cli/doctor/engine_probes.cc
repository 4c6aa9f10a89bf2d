#include "cli/doctor/probes.h"
#include "os/files.h"
#include "store/store.h"
#include "template/catalogue.h"
#include "vmm/qemu/engine.h"

namespace wrenn::cli::doctor {
namespace {

// The kernel of any template, to boot as the probe; leaves the options without one when there is
// none.
void FindProbeGuest(const os::Paths& paths, vmm::QemuOptions& options) {
  if (!os::Exists(paths.Database())) return;
  const auto store = store::OpenSqlite(paths.Database());
  if (!store) return;
  const auto catalogue = template_::MakeCatalogue(paths, **store);
  const auto records = catalogue->List(store::kDefaultTenant);
  if (!records) return;
  for (const auto& record : *records) {
    const auto resolved = catalogue->Find(store::kDefaultTenant, record.name);
    if (!resolved) continue;
    options.probe_kernel = resolved->vmlinux;
    options.probe_initramfs = resolved->initramfs;
    return;
  }
}

Check CheckQemu(const Result<std::unique_ptr<vmm::Engine>>& engine) {
  Check check("qemu");
  check.required = true;
  if (engine) {
    check.finding = fmt::format("{} {}", (*engine)->info().name, (*engine)->info().version);
    check.consequence = "sandboxes run as QEMU microvm machines";
  } else {
    check.verdict = Verdict::kMissing;
    check.finding = engine.error().message;
    check.consequence = "no sandbox can run";
    check.remedy = "apt install qemu-system-x86";
  }
  return check;
}

Check CheckKvm(const vmm::EngineInfo& info, bool guest_tried) {
  Check check("kvm");
  check.finding = info.explanation;
  if (info.acceleration == "kvm") {
    check.consequence =
        guest_tried ? "sandboxes run at the processor's speed, behind hardware virtualisation"
                    : "sandboxes will run at the processor's speed if a guest runs too: this is "
                      "tried with the first template";
  } else {
    check.verdict = Verdict::kLimited;
    check.consequence =
        "sandboxes run by software emulation (TCG): they compute some 10 to 20 times "
        "slower, and emulation is not a security boundary by QEMU's own policy: run "
        "nothing hostile here";
    check.remedy =
        "a machine with VT-x or AMD-V (nested virtualisation in a cloud VM), /dev/kvm given "
        "to this user";
  }
  return check;
}

Check CheckEngine(const vmm::EngineInfo& info) {
  Check check("engine");
  check.finding = fmt::format("chosen: {} with {}", info.name, info.acceleration);
  check.consequence = info.security_boundary ? "a security boundary" : "no security boundary";
  if (!info.security_boundary) check.verdict = Verdict::kLimited;
  return check;
}

}  // namespace

std::vector<Check> ProbeEngine(const os::Paths& paths) {
  vmm::QemuOptions options;
  FindProbeGuest(paths, options);
  const bool guest_tried = !options.probe_kernel.empty();
  const auto folder = os::TemporaryDirectory::Make();
  if (folder) options.probe_directory = folder->path();
  const auto engine = vmm::MakeQemuEngine(std::move(options));
  std::vector<Check> checks = {CheckQemu(engine)};
  if (engine) {
    checks.push_back(CheckKvm((*engine)->info(), guest_tried));
    checks.push_back(CheckEngine((*engine)->info()));
  } else {
    Check kvm("kvm");
    kvm.verdict = Verdict::kLimited;
    kvm.finding = "not tried without QEMU";
    checks.push_back(std::move(kvm));
  }
  return checks;
}

}  // namespace wrenn::cli::doctor
