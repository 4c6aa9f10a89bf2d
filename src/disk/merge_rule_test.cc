#include "disk/merge_rule.h"

#include <gtest/gtest.h>

#include <optional>

#include "base/io.h"
#include "os/files.h"

namespace wrenn::disk {
namespace {

class MergeRuleTest : public testing::Test {
 protected:
  void SetUp() override {
    auto folder = os::TemporaryDirectory::Make();
    ASSERT_TRUE(folder);
    folder_.emplace(std::move(*folder));
  }

  // How many of layers of these sizes in MiB, top first.
  size_t Count(const std::vector<size_t>& sizes) {
    Layers layers;
    for (const size_t size : sizes) {
      layers.push_back(NewLayer(Format::kQcow2));
      EXPECT_TRUE(WriteFileAtomically(folder_->path() + "/" + layers.back().name,
                                      std::string(size << 20, 'x')));
    }
    return LayersToMerge(folder_->path(), layers);
  }

  std::optional<os::TemporaryDirectory> folder_;
};

TEST_F(MergeRuleTest, AFewStay) {
  EXPECT_EQ(Count({}), 0u);
  EXPECT_EQ(Count({1, 1, 1, 1, 1}), 0u);
}

TEST_F(MergeRuleTest, ManyOfOneSizeAreMerged) {
  EXPECT_EQ(Count({1, 1, 1, 1, 1, 1}), 6u);
  EXPECT_EQ(Count({8, 8, 8, 8, 8, 8, 8}), 7u);
}

TEST_F(MergeRuleTest, OneThatIsMuchLargerStays) {
  EXPECT_EQ(Count({1, 1, 1, 1, 1, 1, 20}), 6u);
  EXPECT_EQ(Count({1, 1, 1, 20, 1, 1, 1}), 0u);
  // But a small one does not.
  EXPECT_EQ(Count({0, 0, 0, 0, 0, 4, 20}), 6u);
}

}  // namespace
}  // namespace wrenn::disk
