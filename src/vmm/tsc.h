// The rate of this host's time stamp counter.
#pragma once

#include <cstdint>

namespace wrenn::vmm {

// Ticks per millisecond (kHz). Measured against CLOCK_MONOTONIC_RAW during 60 ms at the first call
// and kept: exact to a few parts per million, with no rights needed (kernel logs are often closed,
// and cpuid tells the rate only on some processors).
uint32_t HostTscKhz();

}  // namespace wrenn::vmm
