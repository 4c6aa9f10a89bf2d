#include "os/files.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cstdlib>
#include <optional>

#include "base/io.h"
#include "os/digest.h"
#include "os/file_lock.h"
#include "os/paths.h"

namespace wrenn::os {
namespace {

TEST(FilesTest, RemovesTreesWithoutFollowingLinks) {
  auto dir = TemporaryDirectory::Make();
  ASSERT_TRUE(dir);
  const std::string tree = dir->path() + "/tree";
  ASSERT_TRUE(MakeDirectories(tree + "/a/b/c"));
  ASSERT_TRUE(MakeDirectory(tree + "/a"));
  ASSERT_TRUE(MakeDirectory(dir->path() + "/kept"));
  ASSERT_TRUE(WriteFileAtomically(dir->path() + "/kept/file", "x"));
  ASSERT_TRUE(WriteFileAtomically(tree + "/a/b/file", "x"));
  ASSERT_EQ(::symlink((dir->path() + "/kept").c_str(), (tree + "/link").c_str()), 0);
  ASSERT_EQ(::chmod((tree + "/a/b").c_str(), 0), 0);
  auto removed = RemoveTree(tree);
  ASSERT_TRUE(removed) << removed.error().ToString();
  EXPECT_FALSE(Exists(tree));
  EXPECT_TRUE(Exists(dir->path() + "/kept/file"));
  EXPECT_TRUE(RemoveTree(tree));  // harmless
  EXPECT_EQ(*ListDirectory(dir->path()), std::vector<std::string>{"kept"});
  EXPECT_TRUE(RemoveTree(dir->path() + "/kept/file"));
}

TEST(FilesTest, ROOT_DoesNotEnterMounts) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to mount";
  auto dir = TemporaryDirectory::Make();
  const std::string mounted = dir->path() + "/tree/mounted";
  ASSERT_TRUE(MakeDirectories(mounted));
  if (::mount("none", mounted.c_str(), "tmpfs", 0, "size=64k") != 0) GTEST_SKIP() << "cannot mount";
  ASSERT_TRUE(WriteFileAtomically(mounted + "/file", "x"));
  auto removed = RemoveTree(dir->path() + "/tree");
  EXPECT_FALSE(removed);
  EXPECT_TRUE(Exists(mounted + "/file"));
  EXPECT_EQ(::umount(mounted.c_str()), 0);
}

TEST(FilesTest, TemporaryDirectoryGoesAway) {
  std::string path;
  {
    auto dir = TemporaryDirectory::Make();
    path = dir->path();
    struct stat info;
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0700u);
    TemporaryDirectory moved = std::move(*dir);
    EXPECT_TRUE(Exists(path));
  }
  EXPECT_FALSE(Exists(path));
  EXPECT_GT(*FreeDiskBytes("/tmp"), 0u);
  EXPECT_EQ(FreeDiskBytes("/nowhere").error().code, Code::kNotFound);
  EXPECT_EQ(AllocatedBytes("/nowhere"), 0u);
}

TEST(FileLockTest, ExcludesOthersUntilDropped) {
  auto dir = TemporaryDirectory::Make();
  const std::string path = dir->path() + "/lock";
  {
    auto held = FileLock::Acquire(path);
    ASSERT_TRUE(held);
    auto second = FileLock::TryAcquire(path);
    ASSERT_TRUE(second);
    EXPECT_FALSE(second->has_value());
  }
  auto third = FileLock::TryAcquire(path);
  ASSERT_TRUE(third && third->has_value());
  // Once the holder has removed the file, a new one is made and locked.
  ::unlink(path.c_str());
  auto fourth = FileLock::TryAcquire(path);
  EXPECT_TRUE(fourth && fourth->has_value());
}

TEST(DigestTest, KnownAnswers) {
  // FIPS 180-2, appendix B.
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  auto dir = TemporaryDirectory::Make();
  const std::string content(3000000, 'a');
  ASSERT_TRUE(WriteFileAtomically(dir->path() + "/f", content));
  EXPECT_EQ(*Sha256File(dir->path() + "/f"), Sha256Hex(content));
  EXPECT_EQ(Sha256File(dir->path() + "/none").error().code, Code::kNotFound);
}

// Sets an environment variable (or clears it) for the life of the object.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    value ? ::setenv(name, value, 1) : ::unsetenv(name);
  }
  ~Variable() { old_ ? ::setenv(name_, old_->c_str(), 1) : ::unsetenv(name_); }

 private:
  const char* name_;
  std::optional<std::string> old_;
};

TEST(PathsTest, FollowTheEnvironment) {
  Variable no_runtime("WRENN_RUNTIME", nullptr);
  {
    Variable root("WRENN_ROOT", "/data/w/");
    auto paths = Paths::FromEnvironment();
    ASSERT_TRUE(paths);
    EXPECT_EQ(paths->root, "/data/w");
    EXPECT_EQ(paths->runtime, "/data/w/run");
    Variable runtime("WRENN_RUNTIME", "/r");
    EXPECT_EQ(Paths::FromEnvironment()->SandboxRuntime("sb-1"), "/r/sb/sb-1");
  }
  Variable relative("WRENN_ROOT", "data");
  EXPECT_EQ(Paths::FromEnvironment().error().code, Code::kInvalidArgument);
}

TEST(PathsTest, PrepareMakesPrivateFolders) {
  auto dir = TemporaryDirectory::Make();
  Variable root("WRENN_ROOT", (dir->path() + "/deep/er").c_str());
  Variable no_runtime("WRENN_RUNTIME", nullptr);
  auto paths = Paths::FromEnvironment();
  ASSERT_TRUE(paths->Prepare());
  ASSERT_TRUE(paths->Prepare());
  struct stat info;
  ASSERT_EQ(::stat((paths->runtime + "/sb").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

}  // namespace
}  // namespace wrenn::os
