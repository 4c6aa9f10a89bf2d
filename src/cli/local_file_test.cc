#include "cli/local_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/io.h"
#include "os/files.h"

namespace wrenn::cli {
namespace {

namespace fs = std::filesystem;

class LocalFileTest : public testing::Test {
 protected:
  LocalFileTest() : folder_(*os::TemporaryDirectory::Make()), path_(folder_.path() + "/file") {}
  size_t Entries() const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()));
  }
  mode_t Mode() const {
    struct stat info{};
    EXPECT_EQ(::stat(path_.c_str(), &info), 0);
    return info.st_mode & 07777;
  }

  os::TemporaryDirectory folder_;
  std::string path_;
};

TEST_F(LocalFileTest, AppearsWhole) {
  auto file = LocalFile::Create(path_, 0755);
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->Write("one"));
  EXPECT_FALSE(fs::exists(path_));
  ASSERT_TRUE(file->Commit());
  EXPECT_EQ(*ReadFile(path_), "one");
  EXPECT_EQ(Mode() & 0700, 0700U);
  EXPECT_EQ(Entries(), 1U);
}

TEST_F(LocalFileTest, LeavesNothingWithoutCommit) {
  ASSERT_TRUE(WriteFileAtomically(path_, "old", 0640));
  {
    auto file = LocalFile::Create(path_, 0666);
    ASSERT_TRUE(file && file->Write("new"));
  }
  EXPECT_EQ(*ReadFile(path_), "old");
  EXPECT_EQ(Entries(), 1U);
}

TEST_F(LocalFileTest, AReplacedFileKeepsItsMode) {
  ASSERT_TRUE(WriteFileAtomically(path_, "old", 0640));
  auto file = LocalFile::Create(path_, 0666);
  ASSERT_TRUE(file && file->Write("new") && file->Commit());
  EXPECT_EQ(*ReadFile(path_), "new");
  EXPECT_EQ(Mode(), 0640U);
}

TEST_F(LocalFileTest, ASecretIsNobodyElses) {
  ASSERT_TRUE(WriteFileAtomically(path_, "old", 0644));
  auto file = LocalFile::CreatePrivate(path_);
  ASSERT_TRUE(file && file->Write("new") && file->Sync() && file->Commit());
  EXPECT_EQ(*ReadFile(path_), "new");
  EXPECT_EQ(Mode(), 0600U);
  auto device = LocalFile::CreatePrivate("/dev/null");
  ASSERT_TRUE(device && device->Write("x") && device->Sync() && device->Commit());
}

TEST_F(LocalFileTest, ALinkStaysALink) {
  ASSERT_TRUE(WriteFileAtomically(path_, "old"));
  const std::string link = folder_.path() + "/link";
  fs::create_symlink("file", link);
  auto file = LocalFile::Create(link, 0666);
  ASSERT_TRUE(file && file->Write("new") && file->Commit());
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_EQ(*ReadFile(path_), "new");
}

TEST_F(LocalFileTest, DevicesAreWrittenInPlace) {
  auto file = LocalFile::Create("/dev/null", 0666);
  ASSERT_TRUE(file && file->Write("x") && file->Commit());
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST_F(LocalFileTest, FoldersAndMissingFoldersAreErrors) {
  EXPECT_FALSE(LocalFile::Create(folder_.path(), 0666));
  EXPECT_EQ(LocalFile::Create(folder_.path() + "/no/file", 0666).error().code, Code::kNotFound);
}

}  // namespace
}  // namespace wrenn::cli
