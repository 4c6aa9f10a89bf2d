#include <gtest/gtest.h>

#include "vmm/kvm_device.h"

namespace wrenn::vmm {
namespace {

TEST(KvmDeviceTest, RunsInstructionsWhereThereIsKvm) {
  const KvmVerdict verdict = ProbeKvmDevice();
  EXPECT_TRUE(verdict.usable) << verdict.explanation;
}

}  // namespace
}  // namespace wrenn::vmm
