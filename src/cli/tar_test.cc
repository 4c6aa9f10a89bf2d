// Packing and unpacking folders, hostile archives among them.
#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/io.h"
#include "cli/tar_pack.h"
#include "cli/tar_unpack.h"
#include "os/files.h"

namespace wrenn::cli {
namespace {

namespace fs = std::filesystem;

// An archive in memory, made entry by entry.
class Archive {
 public:
  Archive() : text_(1 << 20, '\0'), archive_(archive_write_new()) {
    archive_write_set_format_gnutar(archive_);
    archive_write_open_memory(archive_, text_.data(), text_.size(), &used_);
  }
  ~Archive() { archive_write_free(archive_); }

  void Add(const std::string& name, mode_t type, const std::string& content, unsigned mode = 0644,
           const std::string& hard_link = {}) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_filetype(entry, type);
    archive_entry_set_perm(entry, static_cast<mode_t>(mode));
    if (type == AE_IFLNK) archive_entry_set_symlink(entry, content.c_str());
    if (!hard_link.empty()) archive_entry_set_hardlink(entry, hard_link.c_str());
    archive_entry_set_size(entry, type == AE_IFREG ? static_cast<la_int64_t>(content.size()) : 0);
    ASSERT_EQ(archive_write_header(archive_, entry), ARCHIVE_OK);
    if (type == AE_IFREG) archive_write_data(archive_, content.data(), content.size());
    archive_entry_free(entry);
  }

  std::string Finish() {
    archive_write_close(archive_);
    return text_.substr(0, used_);
  }

 private:
  std::string text_;
  size_t used_ = 0;
  archive* archive_;
};

Status Unpack(std::string text, const std::string& folder) {
  size_t at = 0;
  return UnpackTar(
      [&](std::span<char> out) -> Result<size_t> {
        const size_t count = std::min(out.size(), text.size() - at);
        std::memcpy(out.data(), text.data() + at, count);
        at += count;
        return count;
      },
      folder);
}

class Tar : public testing::Test {
 protected:
  Tar() : temporary_(*os::TemporaryDirectory::Make()) {
    folder_ = temporary_.path() + "/in";
    outside_ = temporary_.path() + "/outside";
    fs::create_directory(folder_);
    fs::create_directory(outside_);
    Write(outside_ + "/secret", "untouched");
  }
  static void Write(const std::string& path, const std::string& text) {
    std::ofstream(path) << text;
  }
  static std::string Read(const std::string& path) { return ReadFile(path).value_or("(none)"); }

  // A hostile archive is refused and nothing outside has changed.
  void ExpectRefused(Archive& archive) {
    EXPECT_FALSE(Unpack(archive.Finish(), folder_));
    EXPECT_EQ(Read(outside_ + "/secret"), "untouched");
    EXPECT_EQ(std::distance(fs::directory_iterator(outside_), fs::directory_iterator()), 1);
  }

  os::TemporaryDirectory temporary_;
  std::string folder_;
  std::string outside_;
};

TEST_F(Tar, RoundTripKeepsModesLinksAndLongNames) {
  const std::string source = temporary_.path() + "/source";
  const std::string deep = source + "/" + std::string(120, 'd') + "/" + std::string(120, 'e');
  fs::create_directories(deep);
  fs::create_directory(source + "/empty");
  Write(deep + "/fil\xC3\xA9", std::string(300000, 'x'));
  Write(source + "/run", "#!/bin/sh\n");
  ASSERT_EQ(::chmod((source + "/run").c_str(), 0750), 0);
  fs::create_symlink("run", source + "/link");
  ASSERT_EQ(::mkfifo((source + "/pipe").c_str(), 0600), 0);

  std::string text;
  ASSERT_TRUE(PackTar(source, [&](std::string_view data) -> Status {
    text.append(data);
    return {};
  }));
  ASSERT_TRUE(Unpack(text, folder_));
  EXPECT_EQ(
      Read(folder_ + "/" + std::string(120, 'd') + "/" + std::string(120, 'e') + "/fil\xC3\xA9")
          .size(),
      300000U);
  struct stat info{};
  ASSERT_EQ(::stat((folder_ + "/run").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0750U);
  EXPECT_EQ(fs::read_symlink(folder_ + "/link"), "run");
  EXPECT_TRUE(fs::is_directory(folder_ + "/empty"));
  EXPECT_FALSE(fs::exists(folder_ + "/pipe"));
}

TEST_F(Tar, ASinkThatFailsEndsThePacking) {
  Write(folder_ + "/a", std::string(1 << 20, 'x'));
  const Status packed =
      PackTar(folder_, [](std::string_view) -> Status { return Fail(Code::kUnavailable, "gone"); });
  ASSERT_FALSE(packed);
  EXPECT_EQ(packed.error().message, "gone");
}

TEST_F(Tar, AbsolutePathsAreRefused) {
  Archive archive;
  archive.Add(outside_ + "/new", AE_IFREG, "x");
  ExpectRefused(archive);
}

TEST_F(Tar, ParentFoldersAreRefused) {
  Archive archive;
  archive.Add("../outside/secret", AE_IFREG, "x");
  ExpectRefused(archive);
}

TEST_F(Tar, ParentFoldersInTheMiddleAreRefused) {
  Archive archive;
  archive.Add("a", AE_IFDIR, "", 0755);
  archive.Add("a/../../outside/secret", AE_IFREG, "x");
  ExpectRefused(archive);
}

TEST_F(Tar, PathsThroughLinksAreRefused) {
  Archive archive;
  archive.Add("way", AE_IFLNK, outside_);
  archive.Add("way/secret", AE_IFREG, "x");
  ExpectRefused(archive);
}

TEST_F(Tar, AFolderOverALinkDoesNotLeadOut) {
  Archive archive;
  archive.Add("way", AE_IFLNK, outside_);
  archive.Add("way", AE_IFDIR, "", 0777);
  archive.Add("way/new", AE_IFREG, "x");
  // Refusing it and taking the link away are both right.
  [[maybe_unused]] const Status either = Unpack(archive.Finish(), folder_);
  EXPECT_EQ(Read(outside_ + "/secret"), "untouched");
  EXPECT_EQ(std::distance(fs::directory_iterator(outside_), fs::directory_iterator()), 1);
}

TEST_F(Tar, AFileOverALinkReplacesTheLink) {
  Archive archive;
  archive.Add("way", AE_IFLNK, outside_ + "/secret");
  archive.Add("way", AE_IFREG, "x");
  [[maybe_unused]] const Status either = Unpack(archive.Finish(), folder_);
  EXPECT_EQ(Read(outside_ + "/secret"), "untouched");
}

TEST_F(Tar, HardLinksToOutsideAreRefused) {
  Archive archive;
  archive.Add("way", AE_IFLNK, outside_);
  archive.Add("alias", AE_IFREG, "", 0644, "way/secret");
  ExpectRefused(archive);
}

TEST_F(Tar, SetUidBitsAndDevicesAreDropped) {
  Archive archive;
  archive.Add("run", AE_IFREG, "x", 06755);
  archive.Add("null", AE_IFCHR, "", 0666);
  archive.Add("closed", AE_IFDIR, "", 0);
  ASSERT_TRUE(Unpack(archive.Finish(), folder_));
  struct stat info{};
  ASSERT_EQ(::stat((folder_ + "/run").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0755U);
  EXPECT_FALSE(fs::exists(folder_ + "/null"));
  ASSERT_EQ(::stat((folder_ + "/closed").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
}

TEST_F(Tar, BrokenArchivesAreErrors) {
  Archive archive;
  archive.Add("file", AE_IFREG, std::string(100000, 'x'));
  const std::string text = archive.Finish();
  EXPECT_FALSE(Unpack(text.substr(0, 50000), folder_));
  EXPECT_FALSE(Unpack(std::string(2000, 'z'), folder_));
}

TEST_F(Tar, MovingMergesFoldersAndReplacesFiles) {
  const std::string target = temporary_.path() + "/target";
  fs::create_directories(folder_ + "/sub");
  Write(folder_ + "/sub/a", "new");
  Write(folder_ + "/b", "new");
  fs::create_directories(target + "/sub");
  Write(target + "/sub/a", "old");
  Write(target + "/sub/kept", "kept");
  ASSERT_TRUE(MoveInto(folder_, target));
  EXPECT_EQ(Read(target + "/sub/a"), "new");
  EXPECT_EQ(Read(target + "/sub/kept"), "kept");
  EXPECT_EQ(Read(target + "/b"), "new");
}

TEST_F(Tar, MovingNeverFollowsALink) {
  const std::string target = temporary_.path() + "/target";
  fs::create_directory(target);
  fs::create_directory_symlink(outside_, target + "/sub");
  fs::create_directory(folder_ + "/sub");
  Write(folder_ + "/sub/secret", "x");
  EXPECT_FALSE(MoveInto(folder_, target));
  EXPECT_EQ(Read(outside_ + "/secret"), "untouched");
}

}  // namespace
}  // namespace wrenn::cli
