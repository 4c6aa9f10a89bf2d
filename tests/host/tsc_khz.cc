// Prints the rate of this machine's time stamp counter in kHz, for the kernel of the emulated host.
#include <cstdio>

#include "vmm/tsc.h"

int main() { std::printf("%u\n", wrenn::vmm::HostTscKhz()); }
