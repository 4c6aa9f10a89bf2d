#include "sandbox/sandbox_files.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/io.h"
#include "os/files.h"

namespace wrenn::sandbox {
namespace {

constexpr uint64_t kMiB = 1 << 20;

// A snapshot whose disk is a file of changes.
class ChangesTest : public testing::Test {
 protected:
  void SetUp() override {
    auto folder = os::TemporaryDirectory::Make();
    ASSERT_TRUE(folder);
    folder_ = std::make_unique<os::TemporaryDirectory>(std::move(*folder));
    paths_.root = folder_->path() + "/root";
    paths_.runtime = folder_->path() + "/run";
    ASSERT_TRUE(paths_.Prepare());
    manifest_.image = "image-0";
    ASSERT_TRUE(os::MakeDirectory(paths_.Image(manifest_.image)));
    base_ = paths_.Image(manifest_.image) + "/rootfs";
    ASSERT_TRUE(WriteFileAtomically(base_, std::string(kMiB, 'i')));
    place_ = paths_.Snapshot("sn-1");
    ASSERT_TRUE(os::MakeDirectory(place_));
    const auto layer = (*disk::MakeBackend("dm-snapshot"))->Create(base_, place_, 2 * kMiB);
    ASSERT_TRUE(layer) << layer.error().ToString();
    manifest_.layers = {layer->name};
    files_ = std::make_unique<SandboxFiles>(paths_, "sb-1", nullptr);
    ASSERT_TRUE(files_->MakeFolders());
  }

  // The whole disk of the sandbox.
  std::string Content(const disk::Layers& layers) {
    const std::string flat = folder_->path() + "/flat";
    const Status flattened = disk::Flatten(files_->folder(), layers, base_, flat);
    EXPECT_TRUE(flattened) << flattened.error().ToString();
    return ReadFile(flat, 64 * kMiB).value_or("");
  }

  std::unique_ptr<os::TemporaryDirectory> folder_;
  os::Paths paths_;
  std::string base_;
  std::string place_;
  snapshot::Manifest manifest_;
  std::unique_ptr<SandboxFiles> files_;
};

TEST_F(ChangesTest, AreCopiedForADevice) {
  const auto layers = files_->TakeDisk(place_, manifest_, 0, true);
  ASSERT_TRUE(layers) << layers.error().ToString();
  ASSERT_EQ(layers->size(), 1u);
  EXPECT_EQ(layers->front().format, disk::Format::kCow);
  EXPECT_NE(layers->front().name, manifest_.layers.front());
  EXPECT_EQ(std::filesystem::hard_link_count(files_->folder() + "/" + layers->front().name), 1u);
  EXPECT_EQ(std::filesystem::hard_link_count(place_ + "/" + manifest_.layers.front()), 1u);
  EXPECT_TRUE(Content(*layers) == std::string(kMiB, 'i') + std::string(kMiB, '\0'));
}

TEST_F(ChangesTest, BecomeAWholeDiskWhereThereIsNoDevice) {
  const auto layers = files_->TakeDisk(place_, manifest_, 3 * kMiB, false);
  ASSERT_TRUE(layers) << layers.error().ToString();
  ASSERT_EQ(layers->size(), 2u);
  EXPECT_EQ(layers->front().format, disk::Format::kQcow2);
  EXPECT_EQ(layers->back().format, disk::Format::kRaw);
  EXPECT_TRUE(disk::CheckLayers(files_->folder(), *layers, base_));
  EXPECT_TRUE(Content(*layers) == std::string(kMiB, 'i') + std::string(2 * kMiB, '\0'));
}

TEST_F(ChangesTest, OfAnotherImageAreRefused) {
  manifest_.image = "image-1";
  ASSERT_TRUE(os::MakeDirectory(paths_.Image(manifest_.image)));
  ASSERT_TRUE(
      WriteFileAtomically(paths_.Image(manifest_.image) + "/rootfs", std::string(kMiB, 'j')));
  for (const bool devices : {false, true}) {
    EXPECT_EQ(files_->TakeDisk(place_, manifest_, 0, devices).error().code, Code::kDataLoss);
  }
  EXPECT_TRUE(disk::FindLayers(files_->folder())->empty());
}

}  // namespace
}  // namespace wrenn::sandbox
