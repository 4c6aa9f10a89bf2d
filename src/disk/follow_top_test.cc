#include "disk/follow_top.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <optional>

#include "base/io.h"
#include "disk/backend.h"
#include "os/files.h"

namespace wrenn::disk {
namespace {

// Disks of several layers over an image.
class FollowTopTest : public testing::Test {
 protected:
  void SetUp() override {
    auto folder = os::TemporaryDirectory::Make();
    ASSERT_TRUE(folder);
    folder_.emplace(std::move(*folder));
    ASSERT_TRUE(WriteFileAtomically(Path("image"), std::string(1 << 20, 'i')));
    auto backend = MakeBackend("qcow2");
    ASSERT_TRUE(backend);
    auto bottom = (*backend)->Create(Path("image"), folder_->path(), 0);
    ASSERT_TRUE(bottom) << bottom.error().ToString();
    layers_ = {*bottom};
    for (int i = 0; i < 4; ++i) Add();
  }

  void Add() {
    auto layer = AddLayer(folder_->path(), layers_.front(), 0);
    ASSERT_TRUE(layer) << layer.error().ToString();
    layers_.insert(layers_.begin(), *layer);
  }

  // Merges `count` layers below the top one, and has the top one name the result.
  Layer Replace(size_t count) {
    const Layers below(layers_.begin() + 1, layers_.end());
    const auto merged = MergeLayers(folder_->path(), below, count);
    EXPECT_TRUE(merged) << merged.error().ToString();
    NameBelow(below.front().name, merged->name);
    return *merged;
  }

  // All names are of one length.
  void NameBelow(const std::string& before, const std::string& now) {
    const std::string path = Path(layers_.front().name);
    std::string content = *ReadFile(path);
    const size_t at = content.find(before);
    ASSERT_NE(at, std::string::npos);
    ASSERT_EQ(before.size(), now.size());
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(::pwrite(fd.get(), now.data(), now.size(), static_cast<off_t>(at)),
              static_cast<ssize_t>(now.size()));
  }

  std::string Path(const std::string& name) const { return folder_->path() + "/" + name; }
  Result<Layers> Follow() const { return FollowTop(folder_->path(), layers_); }

  std::optional<os::TemporaryDirectory> folder_;
  Layers layers_;
};

TEST_F(FollowTopTest, WhatHasNotChangedStays) {
  EXPECT_EQ(Follow().value(), layers_);
  layers_.erase(layers_.begin(), layers_.end() - 1);
  EXPECT_EQ(Follow().value(), layers_);
}

TEST_F(FollowTopTest, AMergedLayerTakesThePlaceOfItsOwn) {
  const Layer merged = Replace(2);
  const Layers wanted{layers_[0], merged, layers_[3], layers_[4]};
  EXPECT_EQ(Follow().value(), wanted);
  EXPECT_TRUE(CheckLayers(folder_->path(), wanted, Path("image")));
  // Once more says the same.
  layers_ = wanted;
  EXPECT_EQ(Follow().value(), wanted);
}

TEST_F(FollowTopTest, AllBelowTheTopCanBeMerged) {
  const Layer merged = Replace(4);
  const Layers wanted{layers_[0], merged};
  EXPECT_EQ(Follow().value(), wanted);
  EXPECT_TRUE(CheckLayers(folder_->path(), wanted, Path("image")));
}

TEST_F(FollowTopTest, LayersThatNobodyNotedAreFound) {
  const Layers all = layers_;
  for (const size_t count : {1, 2, 3}) {
    layers_ = all;
    layers_.erase(layers_.begin() + 1, layers_.begin() + 1 + static_cast<ptrdiff_t>(count));
    const auto found = Follow();
    ASSERT_TRUE(found) << found.error().ToString();
    EXPECT_EQ(*found, all);
  }
}

TEST_F(FollowTopTest, ACircleIsRefused) {
  NameBelow(layers_[1].name, layers_[0].name);
  EXPECT_EQ(Follow().error().code, Code::kDataLoss);
}

TEST_F(FollowTopTest, AnythingElseIsRefused) {
  // A layer of another disk, one that is not there, and what is no layer's name.
  auto backend = MakeBackend("qcow2");
  ASSERT_TRUE(WriteFileAtomically(Path("another"), std::string(1 << 20, 'a')));
  const auto other = (*backend)->Create(Path("another"), folder_->path(), 0);
  ASSERT_TRUE(other);
  NameBelow(layers_[1].name, other->name);
  EXPECT_EQ(Follow().error().code, Code::kDataLoss);
  NameBelow(other->name, "disk-00000000000000000000.qcow2");
  EXPECT_FALSE(Follow());
  NameBelow("./disk-00000000000000000000.qcow2", "../../../../../../../../../passwd");
  EXPECT_EQ(Follow().error().code, Code::kDataLoss);
}

}  // namespace
}  // namespace wrenn::disk
