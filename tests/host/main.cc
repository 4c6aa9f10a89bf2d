// main() of the tests that need the emulated host: elsewhere they are skipped.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  // CTest lists the tests where they are built, and knows a skipped one by this word.
  if (::access("/host/init", F_OK) < 0 && !GTEST_FLAG_GET(list_tests)) {
    std::puts("[  SKIPPED ] it needs the emulated host: tests/host/run");
    return 0;
  }
  return RUN_ALL_TESTS();
}
