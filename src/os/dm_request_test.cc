#include "os/dm_request.h"

#include <gtest/gtest.h>

#include <cstring>

namespace wrenn::os {
namespace {

// A table as DM_TABLE_STATUS answers it: offsets count from the first target.
std::string Answer(const std::vector<DmTarget>& targets) {
  std::string bytes = *EncodeDmTable(targets);
  size_t offset = 0;
  for (size_t i = 0; i < targets.size(); ++i) {
    dm_target_spec spec;
    std::memcpy(&spec, bytes.data() + offset, sizeof spec);
    spec.next += static_cast<uint32_t>(offset);
    std::memcpy(bytes.data() + offset, &spec, sizeof spec);
    offset = spec.next;
  }
  return bytes;
}

TEST(DmRequestTest, TablesAreAligned) {
  const std::string data = *EncodeDmTable({{0, 8, "snapshot", "7:0 7:1 P 8"}, {8, 16, "zero", ""}});
  ASSERT_EQ(data.size(), 2 * sizeof(dm_target_spec) + 16 + 8);
  dm_target_spec spec;
  std::memcpy(&spec, data.data(), sizeof spec);
  EXPECT_EQ(spec.length, 8u);
  EXPECT_STREQ(spec.target_type, "snapshot");
  EXPECT_EQ(spec.next, sizeof(dm_target_spec) + 16);
  EXPECT_STREQ(data.data() + sizeof spec, "7:0 7:1 P 8");
  std::memcpy(&spec, data.data() + spec.next, sizeof spec);
  EXPECT_EQ(spec.sector_start, 8u);
  EXPECT_STREQ(spec.target_type, "zero");
  EXPECT_EQ(EncodeDmTable({{0, 8, std::string(16, 'x'), ""}}).error().code, Code::kInvalidArgument);
}

TEST(DmRequestTest, ReadsTargets) {
  const std::string answer = Answer({{0, 8, "snapshot", "16/80 16"}, {8, 16, "linear", ""}});
  const auto targets = ParseDmTargets(answer, 2);
  ASSERT_TRUE(targets) << targets.error().ToString();
  ASSERT_EQ(targets->size(), 2u);
  EXPECT_EQ((*targets)[0].text, "16/80 16");
  EXPECT_EQ((*targets)[1].type, "linear");
  EXPECT_EQ((*targets)[1].begin, 8u);
  EXPECT_TRUE(ParseDmTargets("", 0)->empty());
}

TEST(DmRequestTest, RefusesTargetsThatDoNotFit) {
  const std::string answer = Answer({{0, 8, "snapshot", "16/80 16"}, {8, 16, "linear", "x"}});
  for (size_t size = 0; size < answer.size(); ++size) {
    const std::string cut = answer.substr(0, size);
    const auto targets = ParseDmTargets(cut, 2);
    // The last string's padding may be missing.
    EXPECT_TRUE(targets || targets.error().code == Code::kDataLoss);
  }
  EXPECT_FALSE(ParseDmTargets(answer, 3));
  std::string looped = answer;
  const uint32_t zero = 0;
  std::memcpy(looped.data() + offsetof(dm_target_spec, next), &zero, sizeof zero);
  EXPECT_FALSE(ParseDmTargets(looped, 2));
}

TEST(DmRequestTest, ReadsNames) {
  const auto entry = [](uint64_t dev, uint32_t next, const std::string& name) {
    std::string bytes(reinterpret_cast<const char*>(&dev), sizeof dev);
    bytes.append(reinterpret_cast<const char*>(&next), sizeof next).append(name).append(1, '\0');
    bytes.resize(std::max<size_t>(next, bytes.size()));
    return bytes;
  };
  EXPECT_TRUE(ParseDmNames("")->empty());
  EXPECT_TRUE(ParseDmNames(entry(0, 0, ""))->empty());
  EXPECT_EQ(*ParseDmNames(entry(1, 24, "a") + entry(2, 0, "wrenn-b")),
            (std::vector<std::string>{"a", "wrenn-b"}));
  EXPECT_EQ(ParseDmNames(entry(1, 24, "a")).error().code, Code::kDataLoss);
  EXPECT_EQ(ParseDmNames(entry(1, 0, "a").substr(0, 13)).error().code, Code::kDataLoss);
}

TEST(DmRequestTest, NamesAreBounded) {
  EXPECT_EQ(DmRequest(std::string(DM_NAME_LEN, 'x')).Send(-1, DM_VERSION), ENAMETOOLONG);
  EXPECT_EQ(DmRequest("x", std::string(DM_UUID_LEN, 'x')).Send(-1, DM_VERSION), ENAMETOOLONG);
  EXPECT_EQ(DmRequest(std::string_view("a\0b", 3)).Send(-1, DM_VERSION), ENAMETOOLONG);
  EXPECT_EQ(DmRequest(std::string(DM_NAME_LEN - 1, 'x')).Send(-1, DM_VERSION), EBADF);
}

}  // namespace
}  // namespace wrenn::os
