#include "os/elf_file.h"

#include <gtest/gtest.h>

#include "base/io.h"
#include "os/files.h"

namespace wrenn::os {
namespace {

TEST(ElfFileTest, IsKnownByItsBeginning) {
  EXPECT_TRUE(IsElfFile("/proc/self/exe"));
  EXPECT_FALSE(IsElfFile("/nowhere"));
  EXPECT_FALSE(IsElfFile("/"));
  const auto folder = TemporaryDirectory::Make();
  ASSERT_TRUE(folder);
  const std::string path = folder->path() + "/file";
  for (const char* text : {"", "\177EL", "#!/bin/sh\n", "kernel"}) {
    ASSERT_TRUE(WriteFileAtomically(path, text));
    EXPECT_FALSE(IsElfFile(path)) << text;
  }
  ASSERT_TRUE(WriteFileAtomically(path, "\177ELF"));
  EXPECT_TRUE(IsElfFile(path));
}

}  // namespace
}  // namespace wrenn::os
