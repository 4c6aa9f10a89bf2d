#include "base/io.h"
#include "cli/doctor/probes.h"

namespace wrenn::cli::doctor {
namespace {

// The devices and files of /proc/swaps (proc(5)) but those that are compressed memory.
std::string Swaps(const std::string& table) {
  std::string names;
  for (size_t line = table.find('\n'); line < table.size(); line = table.find('\n', line + 1)) {
    const std::string name =
        table.substr(line + 1, table.find_first_of(" \t\n", line + 1) - line - 1);
    if (name.empty() || name.starts_with("/dev/zram")) continue;
    names += (names.empty() ? "" : ", ") + name;
  }
  return names;
}

Check CheckSwap(const std::string& root) {
  Check check("swap");
  const std::string names = Swaps(ReadFile(root + "/proc/swaps").value_or(""));
  if (names.empty()) {
    check.finding = "there is none on a disk";
    check.consequence = "guests' memory stays in memory";
    return check;
  }
  check.verdict = Verdict::kLimited;
  check.finding = "is on: " + names;
  check.consequence = "guests' memory may come to lie on a disk";
  check.remedy = "swapoff -a, or encrypt it";
  return check;
}

// Documentation/admin-guide/mm/ksm.rst in the kernel's source.
Check CheckKsm(const std::string& root) {
  Check check("ksm");
  const std::string run = ReadFile(root + "/sys/kernel/mm/ksm/run").value_or("");
  if (!run.starts_with('1')) {
    check.finding = "is off";
    check.consequence = "no page of a guest's is shared because another has the same";
    return check;
  }
  check.verdict = Verdict::kLimited;
  check.finding = "is on: equal pages are merged";
  check.consequence = "how long a write takes can tell one guest what another has in its memory";
  check.remedy = "echo 2 >/sys/kernel/mm/ksm/run";
  return check;
}

// Documentation/admin-guide/hw-vuln/core-scheduling.rst in the kernel's source.
Check CheckSmt(const std::string& root) {
  Check check("smt");
  const std::string active = ReadFile(root + "/sys/devices/system/cpu/smt/active").value_or("");
  if (!active.starts_with('1')) {
    check.finding = active.empty() ? "the kernel knows of none" : "is off";
    check.consequence = "no two guests share a core at a time";
    return check;
  }
  check.verdict = Verdict::kLimited;
  check.finding = "is on: a core runs two threads";
  check.consequence = "guests on one core can watch each other through its caches";
  check.remedy = "echo off >/sys/devices/system/cpu/smt/control, or core scheduling";
  return check;
}

}  // namespace

std::vector<Check> ProbeNeighbours(const std::string& root) {
  return {CheckSwap(root), CheckKsm(root), CheckSmt(root)};
}

}  // namespace wrenn::cli::doctor
