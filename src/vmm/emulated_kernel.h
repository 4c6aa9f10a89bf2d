// What a guest's kernel is told where software emulates its processor, or the one that its KVM has.
#pragma once

#include <cstdint>
#include <string>

namespace wrenn::vmm {

// Words of a kernel's command line; `tsc_khz` is the host's HostTscKhz().
std::string EmulatedKernelArguments(uint32_t tsc_khz);

}  // namespace wrenn::vmm
