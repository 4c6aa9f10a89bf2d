#include "memory/verify.h"

#include "memory/image_fixture.h"

namespace wrenn::memory {
namespace {

using VerifyTest = ImageFixture;

TEST_F(VerifyTest, NamesTheFileAndTheChunk) {
  const std::string folder = Folder("a");
  const Image image = TakeNext(TakeBase(folder), folder, folder);
  uint64_t last = 0;
  uint64_t total = 0;
  ASSERT_TRUE(Verify(image, folder, [&](uint64_t done, uint64_t all) {
    EXPECT_GT(done, last);
    last = done;
    total = all;
  }));
  EXPECT_EQ(last, total);
  EXPECT_EQ(total, kSize + 40 * kPageSize);
  const std::string base = folder + "/" + image.files[0].name;
  // In data, in a hole, and in the last, short chunk, which is a hole.
  for (const uint64_t offset : {300 * kPageSize - 1, 2 * kChunkSize + 7, kSize - 1}) {
    Corrupt(base, offset);
    const Status found = Verify(image, folder);
    ASSERT_FALSE(found) << offset;
    EXPECT_EQ(found.error().code, Code::kDataLoss);
    EXPECT_NE(found.error().message.find(image.files[0].name), std::string::npos);
    EXPECT_NE(found.error().message.find(fmt::format("chunk {} ", offset / kChunkSize)),
              std::string::npos);
    Corrupt(base, offset);
    EXPECT_TRUE(Verify(image, folder)) << "zeros are as good as a hole";
  }
  ASSERT_EQ(::truncate(base.c_str(), kSize + 1), 0);
  EXPECT_EQ(Verify(image, folder).error().code, Code::kDataLoss);
  ASSERT_EQ(::unlink(base.c_str()), 0);
  EXPECT_EQ(Verify(image, folder).error().code, Code::kDataLoss);
}

}  // namespace
}  // namespace wrenn::memory
