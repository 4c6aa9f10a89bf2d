#include "template/decompress.h"

#include <gtest/gtest.h>

#include <string>

#include "template/synthetic.h"

namespace wrenn::template_ {
namespace {

class DecompressTest : public testing::TestWithParam<Compression> {};

TEST_P(DecompressTest, GivesBackWhatWasCompressed) {
  const std::string text = SyntheticBytes(9 << 20);  // more than one LZ4 block
  const std::string packed = CompressForTest(GetParam(), text);
  EXPECT_EQ(DetectCompression(packed), GetParam());
  const auto unpacked = Decompress(GetParam(), packed, text.size());
  ASSERT_TRUE(unpacked) << unpacked.error().message;
  EXPECT_TRUE(*unpacked == text);
}

TEST_P(DecompressTest, IgnoresWhatLiesBehindTheStream) {
  const std::string text = SyntheticBytes(100'000);
  const auto unpacked =
      Decompress(GetParam(), CompressForTest(GetParam(), text) + std::string(777, '\xee'), 1 << 20);
  ASSERT_TRUE(unpacked) << unpacked.error().message;
  EXPECT_TRUE(*unpacked == text);
}

TEST_P(DecompressTest, RefusesMoreThanTheLimit) {
  const std::string packed = CompressForTest(GetParam(), std::string(5 << 20, '\0'));
  const auto unpacked = Decompress(GetParam(), packed, 1 << 20);
  ASSERT_FALSE(unpacked);
  EXPECT_EQ(unpacked.error().code, Code::kOutOfRange);
}

TEST_P(DecompressTest, RefusesACutOrDamagedStream) {
  const std::string packed = CompressForTest(GetParam(), SyntheticBytes(100'000));
  // A legacy LZ4 frame has no check of its own: what is cut at a block's border looks whole.
  for (const size_t length : {size_t{0}, size_t{3}, size_t{8}, packed.size() / 2}) {
    EXPECT_FALSE(Decompress(GetParam(), packed.substr(0, length), 1 << 20)) << length;
  }
}

INSTANTIATE_TEST_SUITE_P(All, DecompressTest, testing::ValuesIn(kCompressions),
                         [](const auto& param) { return CompressionName(param.param); });

TEST(DetectCompressionTest, KnowsNothingElse) {
  EXPECT_FALSE(DetectCompression(""));
  EXPECT_FALSE(
      DetectCompression("\x7f"
                        "ELF"));
}

}  // namespace
}  // namespace wrenn::template_
