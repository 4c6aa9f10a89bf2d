// Kernel modules: which ones a guest needs to reach its devices, and in which order they load.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace wrenn::template_ {

// What a virtio guest without PCI loads, by name; what these depend on is added by itself. (A
// guest without vsock leaves out the last two.)
inline constexpr std::string_view kGuestModules[] = {
    "virtio_ring", "virtio",       "virtio_mmio", "virtio_blk", "virtio_console",
    "failover",    "net_failover", "virtio_net",  "virtio_rng", "vmw_vsock_virtio_transport",
};

struct KernelModule {
  std::string file;     // "virtio_blk.ko"
  std::string content;  // the ELF file, decompressed
};

// The names of the modules that a module needs to be loaded before it ("depends=" in its .modinfo
// section, where modpost writes it). kInvalidArgument when the bytes are no 64-bit ELF module.
Result<std::vector<std::string>> ModuleDependencies(std::string_view elf);

// The wanted modules and what they need out of a module folder (lib/modules/<version>), in loading
// order. Those built into the kernel (modules.builtin) are left out. kNotFound names a module that
// is neither there nor built in.
Result<std::vector<KernelModule>> CollectModules(const std::string& folder,
                                                 std::span<const std::string_view> wanted);

}  // namespace wrenn::template_
