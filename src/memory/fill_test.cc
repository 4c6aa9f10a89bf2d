#include "memory/fill.h"

#include "memory/delta_bytes.h"
#include "memory/image_fixture.h"

namespace wrenn::memory {
namespace {

class FillTest : public ImageFixture {
 protected:
  void SetUp() override {
    ImageFixture::SetUp();
    folder_ = Folder("a");
    image_ = TakeNext(TakeBase(folder_), folder_, folder_);
    // Zeroed where the base has a hole: that need not be written.
    Scribble(ram_.data(), 700, 1);
    image_ = *Take(image_, folder_, folder_);
    std::memset(ram_.data() + 700 * kPageSize, 0, kPageSize);
    image_ = *Take(image_, folder_, folder_);
    base_ = folder_ + "/" + image_.files[image_.base].name;
  }

  std::string folder_;
  Image image_;
  std::string base_;
};

TEST_F(FillTest, WritesWhatTheBaseHasNot) {
  auto machine = TestMachine::Start(base_, kSize);
  ASSERT_TRUE(machine);
  auto memory = machine->Memory();
  ASSERT_TRUE(memory);
  const auto bytes = Fill(image_, folder_, *memory);
  ASSERT_TRUE(bytes) << bytes.error().ToString();
  EXPECT_EQ(*bytes, 50 * kPageSize);
  EXPECT_EQ(DeltaBytes(image_), 51 * kPageSize);
  EXPECT_EQ(machine->Digest(), os::Sha256Bytes({ram_.data(), kSize}));
  EXPECT_EQ(TotalLength(*memory->Written()), 50 * kPageSize);
  // Once more is harmless.
  EXPECT_TRUE(Fill(image_, folder_, *memory));
  EXPECT_EQ(machine->Digest(), os::Sha256Bytes({ram_.data(), kSize}));
}

TEST_F(FillTest, PutsRightWhatTheVmmHasTouched) {
  auto machine = TestMachine::Start(base_, kSize);
  ASSERT_TRUE(machine);
  for (const uint64_t page : {0, 15, 25, 290, 400, 700, 772}) {
    machine->Make({.page = page, .seed = 99});
  }
  auto memory = machine->Memory();
  ASSERT_TRUE(memory);
  const auto bytes = Fill(image_, folder_, *memory);
  ASSERT_TRUE(bytes) << bytes.error().ToString();
  EXPECT_EQ(*bytes, 55 * kPageSize);
  EXPECT_EQ(machine->Digest(), os::Sha256Bytes({ram_.data(), kSize}));
}

TEST_F(FillTest, AnImageWithoutABaseIsZeros) {
  const std::string empty = dir_->path() + "/empty";
  ASSERT_TRUE(MakeEmptyBase(empty, kSize));
  auto machine = TestMachine::Start(empty, kSize);
  ASSERT_TRUE(machine);
  auto memory = machine->Memory();
  ASSERT_TRUE(memory);
  EXPECT_EQ(Fill(Image::Zero(kSize), folder_, *memory).value_or(1), 0u);
  machine->Make({.page = 5, .seed = 5});
  EXPECT_EQ(Fill(Image::Zero(kSize), folder_, *memory).value_or(1), kPageSize);
  EXPECT_EQ(machine->Digest(), os::Sha256Bytes(std::string(kSize, '\0')));
}

TEST_F(FillTest, FailsWithTheReason) {
  auto machine = TestMachine::Start(base_, kSize);
  ASSERT_TRUE(machine);
  auto memory = machine->Memory();
  ASSERT_TRUE(memory);
  EXPECT_EQ(Fill(Image::Zero(kSize + kPageSize), folder_, *memory).error().code,
            Code::kFailedPrecondition);
  EXPECT_EQ(Fill(image_, dir_->path(), *memory).error().code, Code::kDataLoss);
  machine->Kill();
  EXPECT_EQ(Fill(image_, folder_, *memory).error().code, Code::kUnavailable);
}

}  // namespace
}  // namespace wrenn::memory
