#include "cli/doctor/probes.h"
#include "os/files.h"
#include "store/store.h"
#include "template/catalogue.h"
#include "vmm/qemu/engine.h"
#include "vmm/qemu/kvm_probe.h"

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

// `undecided`: KVM may work, but there is no guest yet to find out with; or one was tried and gave
// no answer, for the reason `unanswered`.
Check CheckKvm(const vmm::EngineInfo& info, bool undecided, const std::string& unanswered) {
  Check check("kvm");
  check.finding = unanswered.empty() ? info.explanation : unanswered;
  if (info.acceleration == "kvm") {
    check.consequence = "sandboxes run at the processor's speed, behind hardware virtualisation";
    return check;
  }
  check.verdict = Verdict::kLimited;
  if (!unanswered.empty()) {
    check.consequence = "the first sandbox asks again";
    check.remedy = "wrenn doctor again, when the host is less busy";
  } else if (undecided) {
    check.consequence = "not known before a guest has been tried, for which a template is needed";
    check.remedy = "wrenn template build minimal, then wrenn doctor again";
  } else {
    check.consequence =
        "sandboxes run by software emulation (TCG): they compute 15 to 20 times slower, and "
        "emulation is not a security boundary by QEMU's own policy: run nothing hostile here";
    check.remedy =
        "a machine with VT-x or AMD-V (or nested virtualisation in a cloud VM), and /dev/kvm open "
        "to "
        "this user";
  }
  return check;
}

Check CheckEngine(const vmm::EngineInfo& info, bool undecided) {
  Check check("engine");
  if (!info.security_boundary) check.verdict = Verdict::kLimited;
  if (undecided) {
    check.finding = fmt::format("{}; with kvm or tcg is decided by the first guest", info.name);
    return check;
  }
  check.finding = fmt::format("chosen: {} with {}", info.name, info.acceleration);
  check.consequence = info.security_boundary ? "a security boundary" : "no security boundary";
  return check;
}

Check CheckJail(const vmm::EngineInfo& info) {
  Check check("jail");
  if (info.jailed) {
    check.finding = "QEMU was started in one";
    check.consequence = "a VMM sees nothing of this host and is a user of its own";
  } else {
    check.verdict = Verdict::kLimited;
    check.finding = info.jail_explanation;  // with the remedy
    check.consequence = "VMMs run as the server's user and see what that user sees";
  }
  return check;
}

}  // namespace

std::vector<Check> ProbeEngine(const os::Paths& paths) {
  vmm::QemuOptions options;
  options.jail = "auto";
  FindProbeGuest(paths, options);
  const bool guest_tried = !options.probe_kernel.empty();
  const auto folder = os::TemporaryDirectory::Make();
  if (folder) options.probe_directory = folder->path();
  auto engine = vmm::MakeQemuEngine(options);
  std::string unanswered;
  if (!engine && engine.error().code == Code::kUnavailable) {  // QEMU is there, its guest is late
    unanswered = engine.error().message;
    options.probe_kernel.clear();
    engine = vmm::MakeQemuEngine(options);
  }
  std::vector<Check> checks = {CheckQemu(engine)};
  if (engine) {
    const vmm::EngineInfo& info = (*engine)->info();
    const bool undecided = !unanswered.empty() || (!guest_tried && info.acceleration != "kvm" &&
                                                   vmm::ProbeKvmDevice().usable);
    checks.push_back(CheckKvm(info, undecided, unanswered));
    checks.push_back(CheckEngine(info, undecided));
    checks.push_back(CheckJail(info));
  } else {
    Check kvm("kvm");
    kvm.verdict = Verdict::kLimited;
    kvm.finding = "not tried without QEMU";
    checks.push_back(std::move(kvm));
  }
  return checks;
}

}  // namespace wrenn::cli::doctor
