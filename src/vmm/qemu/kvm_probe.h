// Whether KVM really runs a guest here.
#pragma once

#include <string>

#include "base/deadline.h"
#include "base/result.h"
#include "vmm/kvm_device.h"
#include "vmm/qemu/command_line.h"

namespace wrenn::vmm {

// The real answer, after ProbeKvmDevice() says yes: boots this kernel with -accel kvm until its
// first process runs. `directory` must exist, be short enough for socket paths, and gets nothing
// that stays. An answer is only what a guest did, or KVM's refusal to run one; a want of disk,
// memory or time is an error.
Result<KvmVerdict> ProbeKvmGuest(const HostFacts& facts, const std::string& kernel,
                                 const std::string& initramfs, const std::string& directory,
                                 Deadline deadline);

// What an answer depends on: kernel, QEMU, processor and this boot of the host.
std::string KvmProbeKey(const std::string& qemu_version);

// A kept answer, if there is one for this key; and keeping one.
Result<KvmVerdict> LoadKvmVerdict(const std::string& path, const std::string& key);
Status SaveKvmVerdict(const std::string& path, const std::string& key, const KvmVerdict& verdict);

}  // namespace wrenn::vmm
