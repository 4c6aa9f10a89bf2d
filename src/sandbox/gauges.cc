#include "sandbox/gauges.h"

#include <fmt/format.h>

namespace wrenn::sandbox {
namespace {

std::string Gauge(const char* name, const char* help, int64_t value) {
  return fmt::format("# HELP {0} {1}\n# TYPE {0} gauge\n{0} {2}\n", name, help, value);
}

}  // namespace

std::string RenderGauges(const Amount& used, const std::map<std::string, int>& pool, int standbys) {
  std::string text = Gauge("wrenn_sandboxes", "Sandboxes that hold a machine.", used.sandboxes) +
                     Gauge("wrenn_memory_mb", "Memory that is promised.", used.memory_mb) +
                     Gauge("wrenn_vcpus", "Virtual CPUs that are promised.", used.vcpus) +
                     Gauge("wrenn_disk_mb", "Disk that is promised.", used.disk_mb);
  text +=
      "# HELP wrenn_warm_machines Machines that stand ready.\n"
      "# TYPE wrenn_warm_machines gauge\n";
  for (const auto& [name, ready] : pool) {
    text += fmt::format("wrenn_warm_machines{{template=\"{}\"}} {}\n", name, ready);
  }
  return text +
         Gauge("wrenn_standby_machines", "Machines of paused sandboxes that stand by.", standbys);
}

}  // namespace wrenn::sandbox
