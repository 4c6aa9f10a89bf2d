#include "template/bzimage.h"

#include <gtest/gtest.h>

#include "template/synthetic.h"

namespace wrenn::template_ {
namespace {

const std::string kKernel =
    "\x7f"
    "ELF" +
    SyntheticBytes(300'000);

class BzImageTest : public testing::TestWithParam<Compression> {};

// The build appends the kernel's length to what it compressed.
std::string Payload(Compression compression) {
  return CompressForTest(compression, kKernel) + std::string("\xe4\x93\x04\x00", 4);
}

TEST_P(BzImageTest, FindsThePayloadByTheHeader) {
  const auto kernel = ExtractVmlinux(MakeBzImage(Payload(GetParam())));
  ASSERT_TRUE(kernel) << kernel.error().message;
  EXPECT_TRUE(*kernel == kKernel);
}

TEST_P(BzImageTest, SearchesWhereTheHeaderIsOld) {
  std::string image = MakeBzImage(Payload(GetParam()));
  image[0x206] = 7;  // protocol 2.07 has no payload_offset
  const auto kernel = ExtractVmlinux(image);
  ASSERT_TRUE(kernel) << kernel.error().message;
  EXPECT_TRUE(*kernel == kKernel);
}

TEST_P(BzImageTest, SearchesPastFalseBeginnings) {
  std::string image = MakeBzImage(Payload(GetParam()));
  image[0x206] = 7;
  image.replace(2100, Magic(GetParam()).size(), Magic(GetParam()));
  const auto kernel = ExtractVmlinux(image);
  ASSERT_TRUE(kernel) << kernel.error().message;
  EXPECT_TRUE(*kernel == kKernel);
}

TEST_P(BzImageTest, RefusesWhatIsNoKernelInside) {
  const auto kernel = ExtractVmlinux(MakeBzImage(CompressForTest(GetParam(), "a text")));
  ASSERT_FALSE(kernel);
  EXPECT_EQ(kernel.error().code, Code::kInvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(All, BzImageTest, testing::ValuesIn(kCompressions),
                         [](const auto& param) { return CompressionName(param.param); });

TEST(BzImagePlainTest, TakesUncompressedKernels) {
  EXPECT_TRUE(ExtractVmlinux(kKernel).value() == kKernel);
  EXPECT_TRUE(ExtractVmlinux(MakeBzImage(kKernel)).value() == kKernel);
}

TEST(BzImagePlainTest, RefusesHostileHeaders) {
  for (const size_t field : {0x248, 0x24c}) {
    std::string image = MakeBzImage("nothing");
    image.replace(field, 4, "\xff\xff\xff\xff");
    EXPECT_FALSE(ExtractVmlinux(image));
  }
  EXPECT_FALSE(ExtractVmlinux(""));
  EXPECT_FALSE(ExtractVmlinux(std::string(0x24e, 'x')));
}

}  // namespace
}  // namespace wrenn::template_
