#include "vmm/emulated_kernel.h"

#include <fmt/format.h>

namespace wrenn::vmm {

std::string EmulatedKernelArguments(uint32_t tsc_khz) {
  // The guest's timer calibration fails at random on a busy host, and its clock watchdog later
  // throws the TSC out: so the rate is given and both checks are off. Every kernel function that
  // runs is translated first, in each restored machine anew: so what guards against speculation,
  // accounts for stalls, audits and asks security modules is left out.
  return fmt::format(
      "tsc_early_khz={} no_timer_check tsc=reliable mitigations=off psi=0 audit=0 lsm=capability",
      tsc_khz);
}

}  // namespace wrenn::vmm
