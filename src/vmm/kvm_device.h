// KVM as far as it can be told without a guest, and this host's processor.
#pragma once

#include <string>

namespace wrenn::vmm {

struct KvmVerdict {
  bool usable = false;
  std::string explanation;  // for people; where not usable, with the remedy
};

// Whether /dev/kvm opens, makes a machine, and a virtual processor runs a few instructions.
KvmVerdict ProbeKvmDevice();

// The "model name" line of /proc/cpuinfo; empty where there is none.
std::string ProcessorModel();

// Whether this host is itself emulated: KVM in it is then, too.
bool IsEmulatedHost();

}  // namespace wrenn::vmm
