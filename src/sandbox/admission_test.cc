#include "sandbox/admission.h"

#include <gtest/gtest.h>

namespace wrenn::sandbox {
namespace {

TEST(AdmissionTest, WhatStandsReadyHasAQuarterOfTheMemory) {
  Limits limits;
  limits.max_memory_mb = 1024;
  Admission admission(limits, "/");
  EXPECT_EQ(admission.FreeSpareMb(), 256);
  EXPECT_TRUE(admission.Reserve({.memory_mb = 256, .spare_mb = 256}));
  EXPECT_FALSE(admission.Reserve({.memory_mb = 257, .spare_mb = 257}));
}

TEST(AdmissionTest, WithoutALimitTheQuarterIsOfWhatTheHostCanBear) {
  Admission admission(Limits(), "/");
  const int64_t most = DefaultLimits().max_memory_mb / 4;
  EXPECT_EQ(admission.FreeSpareMb(), most);
  EXPECT_TRUE(admission.Reserve({.memory_mb = 8 * most}));
  EXPECT_FALSE(admission.Reserve({.memory_mb = most + 1, .spare_mb = most + 1}));
  EXPECT_TRUE(admission.Reserve({.memory_mb = most, .spare_mb = most}));
}

}  // namespace
}  // namespace wrenn::sandbox
