// For tests: images of RAM that is a vector, without a process.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "memory/reader.h"
#include "memory/test_machine.h"
#include "memory/verify.h"
#include "memory/writer.h"
#include "os/files.h"

namespace wrenn::memory {

class ImageFixture : public testing::Test {
 protected:
  // Not whole chunks.
  static constexpr uint64_t kPages = 3 * 256 + 5;
  static constexpr uint64_t kSize = kPages * kPageSize;

  void SetUp() override {
    dir_ = os::TemporaryDirectory::Make();
    ASSERT_TRUE(dir_);
  }

  std::string Folder(const std::string& name) {
    std::string path = dir_->path() + "/" + name;
    EXPECT_TRUE(os::MakeDirectory(path));
    return path;
  }

  PageReader Reader() {
    return [this](uint64_t offset, std::span<char> out) -> Status {
      std::memcpy(out.data(), ram_.data() + offset, out.size());
      return {};
    };
  }

  // An image of ram_ over `before`, with everything as candidates.
  Result<Image> Take(const Image& before, const std::string& from, const std::string& to) {
    ASSIGN_OR_RETURN(Image image, WriteImage(before, from, {{0, kSize}}, Reader(), to, written_));
    return image;
  }

  // A base with pages 10 to 299 in `to`.
  Image TakeBase(const std::string& to) {
    for (uint64_t page = 10; page < 300; ++page) Scribble(ram_.data(), page, page + 1);
    auto image = Take(Image::Zero(kSize), to, to);
    EXPECT_TRUE(image) << image.error().ToString();
    return *image;
  }
  // The next image with some changes: pages 280 to 319 new, 20 to 29 zero.
  Image TakeNext(const Image& before, const std::string& from, const std::string& to) {
    for (uint64_t page = 280; page < 320; ++page) Scribble(ram_.data(), page, page + 1000);
    std::memset(ram_.data() + 20 * kPageSize, 0, 10 * kPageSize);
    auto image = Take(before, from, to);
    EXPECT_TRUE(image) << image.error().ToString();
    return *image;
  }

  void ExpectContent(const Image& image, const std::string& directory) {
    auto reader = ImageReader::Open(image, directory);
    ASSERT_TRUE(reader) << reader.error().ToString();
    std::vector<char> found(kSize, 'x');
    ASSERT_TRUE(reader->Read(0, found));
    EXPECT_TRUE(found == ram_);
    const Status verified = Verify(image, directory);
    EXPECT_TRUE(verified) << verified.error().ToString();
  }

  static std::vector<std::string> FilesIn(const std::string& directory) {
    return os::ListDirectory(directory).value_or(std::vector<std::string>{"?"});
  }

  static void Corrupt(const std::string& path, uint64_t offset) {
    const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    char byte = 0;
    ASSERT_EQ(::pread(fd.get(), &byte, 1, static_cast<off_t>(offset)), 1);
    byte = static_cast<char>(byte ^ 1);
    ASSERT_EQ(::pwrite(fd.get(), &byte, 1, static_cast<off_t>(offset)), 1);
  }

  Result<os::TemporaryDirectory> dir_ = Fail(Code::kUnknown, "not made");
  std::vector<char> ram_ = std::vector<char>(kSize, 0);
  Written written_;
};

}  // namespace wrenn::memory
