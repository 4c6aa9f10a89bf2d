#include "vmm/qemu/fingerprint.h"

#include <cmath>

#include "base/io.h"
#include "os/digest.h"

namespace wrenn::vmm {
namespace {

// The rest of /proc/cpuinfo's first line with this name.
std::string CpuInfo(const std::string& text, const std::string& name) {
  const size_t line = text.find(name);
  const size_t colon = line == std::string::npos ? line : text.find(": ", line);
  if (colon == std::string::npos) return "";
  return text.substr(colon + 2, text.find('\n', colon) - colon - 2);
}

std::string ShapeDigest(MachineConfig config, HostFacts facts) {
  config.id = "id";
  config.memory = "/memory";
  config.user = 0;
  config.net_namespace.clear();  // the guest sees the same network either way
  if (!config.disk.empty()) config.disk = "/disk";
  config.disk_format = DiskFormat::kQcow2;  // the guest sees the same disk either way
  facts.binary = "qemu";
  facts.readonly_memory = false;  // the same RAM either way
  std::string text;
  for (const std::string& word : QemuCommandLine(config, facts, Start::kRestore)) {
    text += word + "\n";
  }
  return os::Sha256Hex(text);
}

std::string Text(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

double Number(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value && value->is_number() ? value->to_number<double>() : 0;
}

}  // namespace

std::string HostCpu() {
  const std::string text = ReadFile("/proc/cpuinfo").value_or("");
  return fmt::format("{} {}", CpuInfo(text, "model name"),
                     os::Sha256Hex(CpuInfo(text, "flags")).substr(0, 16));
}

json::object QemuFingerprint(const MachineConfig& config, const HostFacts& facts,
                             const std::string& build) {
  return {{"engine", "qemu"},
          {"build", build},
          {"acceleration", facts.kvm ? "kvm" : "tcg"},
          {"cpu", facts.kvm ? HostCpu() : "emulated"},
          {"machine", ShapeDigest(config, facts)},
          {"tsc_khz", facts.tsc_khz}};
}

Status CompareFingerprints(const json::object& kept, const json::object& here) {
  struct Part {
    const char* name;
    const char* what;
  };
  constexpr Part kParts[] = {{"engine", "the engine"},
                             {"build", "the QEMU"},
                             {"acceleration", "the acceleration"},
                             {"cpu", "the processor"}};
  for (const Part& part : kParts) {
    if (Text(kept, part.name) == Text(here, part.name)) continue;
    return Fail(Code::kFailedPrecondition, "the snapshot was made with {} '{}', here it is '{}'",
                part.what, Text(kept, part.name), Text(here, part.name));
  }
  if (Text(kept, "machine") != Text(here, "machine")) {
    return Fail(Code::kFailedPrecondition,
                "the snapshot was made of a machine with other processors, memory or devices");
  }
  // The guest counts time by this rate, which is measured anew at each start: 0.1 percent is far
  // more than the measurements differ by, and far less than two kinds of processors do.
  const double before = Number(kept, "tsc_khz");
  const double now = Number(here, "tsc_khz");
  if (std::abs(before - now) > now / 1000) {
    return Fail(Code::kFailedPrecondition,
                "the snapshot's guest counts time at {:.0f} kHz, this host runs at {:.0f}", before,
                now);
  }
  return {};
}

}  // namespace wrenn::vmm
