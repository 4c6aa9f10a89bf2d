#include <gtest/gtest.h>

#include "vmm/qemu/kvm_probe.h"

namespace wrenn::vmm {
namespace {

TEST(KvmDeviceTest, RunsInstructionsWhereThereIsKvm) {
  const KvmVerdict verdict = ProbeKvmDevice();
  EXPECT_TRUE(verdict.usable) << verdict.explanation;
}

}  // namespace
}  // namespace wrenn::vmm
