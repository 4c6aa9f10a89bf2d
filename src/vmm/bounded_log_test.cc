#include "vmm/bounded_log.h"

#include <gtest/gtest.h>

#include <optional>

#include "base/io.h"
#include "os/files.h"

namespace wrenn::vmm {
namespace {

class BoundedLogTest : public testing::Test {
 protected:
  void SetUp() override {
    auto dir = os::TemporaryDirectory::Make();
    ASSERT_TRUE(dir);
    dir_.emplace(std::move(*dir));
    path_ = dir_->path() + "/console.log";
  }
  std::optional<os::TemporaryDirectory> dir_;
  std::string path_;
};

// Line i, always 10 bytes.
std::string Line(int i) { return fmt::format("{:09}\n", i); }

TEST_F(BoundedLogTest, KeepsTheBeginningAndTheEnd) {
  auto log = BoundedLog::Open(path_);
  ASSERT_TRUE(log);
  constexpr int kLines = 100'000;  // 1 MB
  for (int i = 0; i < kLines; ++i) {
    log->Append(Line(i));
    if (i % 1000 == 0) {
      ASSERT_LE(ReadFile(path_)->size(), BoundedLog::kLimit);
    }
  }
  const std::string text = *ReadFile(path_);
  EXPECT_LE(text.size(), BoundedLog::kLimit);
  EXPECT_TRUE(text.starts_with(Line(0) + Line(1)));
  EXPECT_TRUE(text.ends_with(Line(kLines - 2) + Line(kLines - 1)));
  // What the marker says is right: head + left out + tail is everything.
  const size_t marker = text.find("\n[... ");
  ASSERT_NE(marker, std::string::npos);
  EXPECT_EQ(text.find("[... ", marker + 3), std::string::npos);
  const size_t left_out = std::stoul(text.substr(marker + 6));
  const size_t marker_end = text.find("...]\n", marker) + 5;
  EXPECT_EQ(marker + left_out + (text.size() - marker_end), size_t{kLines} * 10);
}

TEST_F(BoundedLogTest, OnePieceMayBeLargerThanTheLimit) {
  auto log = BoundedLog::Open(path_);
  ASSERT_TRUE(log);
  log->Append(std::string(3 * BoundedLog::kLimit, 'x') + "end");
  const std::string text = *ReadFile(path_);
  EXPECT_LE(text.size(), BoundedLog::kLimit);
  EXPECT_TRUE(text.ends_with("xend"));
}

TEST_F(BoundedLogTest, GoesOnWithAnOldFile) {
  {
    auto log = BoundedLog::Open(path_);
    log->Append("before\n");
  }
  auto log = BoundedLog::Open(path_);
  log->Append("after\n");
  EXPECT_EQ(*ReadFile(path_), "before\nafter\n");
}

TEST_F(BoundedLogTest, AFileThatCannotBeReplacedStartsAnew) {
  auto log = BoundedLog::Open(path_);
  ASSERT_TRUE(log);
  ASSERT_TRUE(os::MakeDirectory(path_ + ".new"));
  log->Append(std::string(BoundedLog::kLimit, 'x'));
  log->Append("more");
  EXPECT_EQ(*ReadFile(path_), "more");
  EXPECT_EQ(BoundedLog::Open("/nowhere/log").error().code, Code::kNotFound);
}

}  // namespace
}  // namespace wrenn::vmm
