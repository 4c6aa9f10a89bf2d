#include "os/shared_libraries.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "os/files.h"

namespace wrenn::os {
namespace {

Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }

TEST(SharedLibrariesTest, ReadsTheLoadersList) {
  const auto libraries = ParseLibraryList(
      "\tlinux-vdso.so.1 (0x00007ffc)\n"
      "\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f25)\n"
      "\tlibodd.so => /opt/with space (1)/libodd.so (0x1)\n"
      "\t/lib64/ld-linux-x86-64.so.2 (0x00007f26)\n");
  ASSERT_TRUE(libraries);
  ASSERT_EQ(libraries->size(), 2u);
  EXPECT_EQ((*libraries)[0], (SharedLibrary{"libz.so.1", "/lib/x86_64-linux-gnu/libz.so.1"}));
  EXPECT_EQ((*libraries)[1].name, "libodd.so");

  const auto missing = ParseLibraryList("\tlibgone.so.3 => not found\n");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::kNotFound);
  EXPECT_THAT(missing.error().message, testing::HasSubstr("libgone.so.3"));
}

TEST(SharedLibrariesTest, OfAProgram) {
  const auto linked = FindSharedLibraries("/bin/sh", Soon());
  ASSERT_TRUE(linked) << linked.error().ToString();
  EXPECT_TRUE(Exists(linked->loader));
  const auto libc = std::ranges::find(linked->libraries, "libc.so.6", &SharedLibrary::name);
  ASSERT_NE(libc, linked->libraries.end());
  EXPECT_TRUE(Exists(libc->path));
}

TEST(SharedLibrariesTest, AStaticOneNeedsNothing) {
  const auto linked = FindSharedLibraries(WRENN_JAIL_PROBE, Soon());
  ASSERT_TRUE(linked) << linked.error().ToString();
  EXPECT_EQ(linked->loader, "");
  EXPECT_TRUE(linked->libraries.empty());
}

TEST(SharedLibrariesTest, WhatIsNoProgramIsSaid) {
  for (const char* path : {"/etc/passwd", "/nonexistent", "/"}) {
    const auto linked = FindSharedLibraries(path, Soon());
    ASSERT_FALSE(linked) << path;
    EXPECT_EQ(linked.error().code, Code::kInvalidArgument);
  }
}

}  // namespace
}  // namespace wrenn::os
