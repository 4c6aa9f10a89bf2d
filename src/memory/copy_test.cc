#include "memory/copy.h"

#include "memory/image_fixture.h"

namespace wrenn::memory {
namespace {

class CopyTest : public ImageFixture {
 protected:
  void SetUp() override {
    ImageFixture::SetUp();
    base_ = dir_->path() + "/base";
    ASSERT_TRUE(MakeEmptyBase(base_, kSize));
  }

  std::string base_;
};

TEST_F(CopyTest, ACopyKeepsWhatWas) {
  auto machine = TestMachine::Start(base_, kSize);
  ASSERT_TRUE(machine);
  auto memory = machine->Memory();
  ASSERT_TRUE(memory);
  for (uint64_t page = 3; page < kPages; page += 1 + page % 3) machine->Make({.page = page});
  std::vector<char> then(kSize);
  ASSERT_TRUE(memory->Read(0, then));
  auto taken = Copy::Take(*memory, *memory->Written());
  ASSERT_TRUE(taken) << taken.error().ToString();
  const Copy copy = std::move(*taken);
  for (uint64_t page = 0; page < kPages; ++page) machine->Make({.page = page, .seed = 9});
  machine->Kill();
  std::vector<char> now(kSize);
  for (const Range& range : copy.ranges()) {
    const auto bytes = std::span(now).subspan(range.offset, range.length);
    ASSERT_TRUE(copy.Read(range.offset, bytes));
    EXPECT_EQ(std::memcmp(bytes.data(), then.data() + range.offset, range.length), 0);
  }
  EXPECT_EQ(copy.Read(0, std::span(now).first(1)).error().code, Code::kOutOfRange);
  const Range last = copy.ranges().back();
  EXPECT_TRUE(copy.Read(last.end() - 1, std::span(now).first(1)));
  EXPECT_EQ(copy.Read(last.end() - 1, std::span(now).first(2)).error().code, Code::kOutOfRange);
}

TEST_F(CopyTest, TakesTheRoomThatIsThere) {
  auto machine = TestMachine::Start(base_, kSize);
  ASSERT_TRUE(machine);
  auto memory = machine->Memory();
  ASSERT_TRUE(memory);
  for (uint64_t page = 0; page < kPages; ++page) machine->Make({.page = page, .seed = page});
  for (const uint64_t size : {uint64_t{0}, kPageSize, kSize, 3 * kSize}) {
    auto room = CopyRoom::Make(size);
    ASSERT_TRUE(room) << room.error().ToString();
    EXPECT_GE(room->bytes().size(), size);
    const auto copy = Copy::Take(*memory, {{0, kSize}}, std::move(*room));
    ASSERT_TRUE(copy) << copy.error().ToString();
    ASSERT_TRUE(copy->Read(0, ram_));
    EXPECT_EQ(os::Sha256Bytes({ram_.data(), ram_.size()}), machine->Digest());
  }
  EXPECT_EQ(CopyRoom::Make(uint64_t{1} << 50).error().code, Code::kResourceExhausted);
  machine->Kill();
  EXPECT_EQ(Copy::Take(*memory, {{0, kSize}}).error().code, Code::kUnavailable);
}

}  // namespace
}  // namespace wrenn::memory
