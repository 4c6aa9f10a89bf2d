#include "os/paths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/io.h"
#include "os/files.h"

namespace wrenn::os {
namespace {

using testing::HasSubstr;

// A file stands where a folder is to be: that stops root, too.
TEST(PathsTest, FoldersThatCannotBeMadeNameTheRemedy) {
  const auto directory = TemporaryDirectory::Make();
  ASSERT_TRUE(directory);
  const std::string file = directory->path() + "/file";
  ASSERT_TRUE(WriteFileAtomically(file, ""));

  Paths paths;
  paths.root = file + "/root";
  paths.runtime = directory->path() + "/run";
  const Status no_root = paths.Prepare();
  ASSERT_FALSE(no_root);
  EXPECT_THAT(no_root.error().message, HasSubstr("WRENN_ROOT, or --root"));

  paths.root = directory->path() + "/root";
  paths.runtime = file + "/run";
  const Status no_runtime = paths.Prepare();
  ASSERT_FALSE(no_runtime);
  EXPECT_THAT(no_runtime.error().message, HasSubstr("WRENN_RUNTIME, or --runtime"));

  paths.runtime = directory->path() + "/run";
  EXPECT_TRUE(paths.Prepare());
  EXPECT_TRUE(Exists(paths.Kernels()));
}

}  // namespace
}  // namespace wrenn::os
