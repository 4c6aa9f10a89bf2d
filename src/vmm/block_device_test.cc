#include "vmm/block_device.h"

#include <gtest/gtest.h>

#include "base/io.h"
#include "os/files.h"

namespace wrenn::vmm {
namespace {

TEST(BlockDeviceTest, FilesHaveNoNumber) {
  const auto folder = os::TemporaryDirectory::Make();
  ASSERT_TRUE(folder);
  const std::string file = folder->path() + "/disk";
  EXPECT_EQ(BlockDeviceNumber(file).error().code, Code::kNotFound);
  ASSERT_TRUE(WriteFileAtomically(file, ""));
  for (const std::string& path : {file, std::string("/dev/null")}) {
    const auto number = BlockDeviceNumber(path);
    ASSERT_TRUE(number) << number.error().ToString();
    EXPECT_FALSE(*number) << path;
  }
}

TEST(BlockDeviceTest, DevicesAreKnownByTheirPlace) {
  EXPECT_TRUE(IsBlockDevice("/dev/mapper/wrenn-sb-abc"));
  EXPECT_FALSE(IsBlockDevice("/data/dev/disk.raw"));
  EXPECT_FALSE(IsBlockDevice(""));
}

}  // namespace
}  // namespace wrenn::vmm
